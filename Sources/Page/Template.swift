import Journal
import Platform
import Report
import Wire

/// What all pages have in common.
enum Template {
  private static let places: [(path: StaticString, name: StaticString)] = [
    ("/", "Overview"), ("/report", "Report"), ("/blocks", "Blocks"), ("/configuration", "Configuration"),
  ]

  /// - Parameters:
  ///   - here: the path of this page.
  ///   - session: nil before the token was shown.
  ///   - isLive: whether the page follows the news.
  static func page(
    _ title: String, here: String, session: Sessions.Session?, host: String, isLive: Bool = false, _ body: HTML
  ) -> HTML {
    let links = places.map { place -> HTML in
      let current: HTML = here == place.path.description ? " aria-current=\"page\"" : HTML()
      return "<a href=\"\(HTML(stringLiteral: place.path))\"\(current)>\(HTML(stringLiteral: place.name))</a>"
    }
    let navigation: HTML =
      session == nil
      ? HTML()
      : """
      <nav>\(links)<form method="post" action="/logout">\(key(session))<button class="plain">Log out</button></form></nav>
      """
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>\(title) · PortSentry</title>
      <link rel="icon" href="/favicon.svg" type="image/svg+xml">
      <link rel="stylesheet" href="/style.css">
      \(isLive ? "<script src=\"/page.js\" defer></script>" as HTML : HTML())
      </head>
      <body class="page">
      <div class="head"><a class="brand" href="/">PortSentry</a> <span class="host">\(host)</span>\
      \(isLive ? "<span id=\"live\" class=\"live\" role=\"status\">not live</span>" as HTML : HTML())\(navigation)</div>
      <main>
      \(body)
      </main>
      </body>
      </html>

      """
  }

  /// What makes a form one of this session.
  static func key(_ session: Sessions.Session?) -> HTML {
    guard let session else { return HTML() }
    return "<input type=\"hidden\" name=\"key\" value=\"\(session.formKey)\">"
  }

  static func link(_ network: IPNetwork) -> String? { network.isHost ? "/source?address=\(network)" : nil }

  static func login(host: String, isWrong: Bool) -> HTML {
    page(
      "Log in", here: "/login", session: nil, host: host,
      """
      <section class="login"><h1>Who is there?</h1>
      <p>This page shows what was seen on this host, and can lift blocks. <code>portsentry console --url</code>, \
      run as root on this host, prints a link that lets you in. It works once, within two minutes.</p>
      \(isWrong ? "<p class=\"wrong\" role=\"alert\">That does not let in, or not any more: have another printed.</p>" as HTML : HTML())
      <form method="post" action="/login"><label for="login">What stands behind “login” in it</label> \
      <input id="login" name="login" type="password" autocomplete="off" required autofocus> <button>Log in</button></form></section>
      """)
  }

  static func message(_ title: StaticString, _ text: String, here: String, session: Sessions.Session?, host: String)
    -> HTML
  {
    page(
      title.description, here: here, session: session, host: host,
      "<section><h1>\(HTML(stringLiteral: title))</h1><p>\(text)</p></section>")
  }

  static let favicon: StaticString = """
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#1f6f78"/>\
    <path d="M5 13V4.5A1.5 1.5 0 0 1 6.500 3h3A1.500 1.500 0 0 1 11 4.500V13z" fill="none" stroke="#fff" stroke-width="1.400"/>\
    <circle cx="9.300" cy="8.300" r=".9" fill="#fff"/></svg>
    """

  /// Replaces the parts of the page that the news name. They come escaped; the page forbids scripts within them.
  static let script: StaticString = """
    "use strict";
    (() => {
      const live = document.getElementById("live");
      const say = (text, on) => { live.textContent = text; live.classList.toggle("on", on); };
      const source = new EventSource("/events");
      source.addEventListener("open", () => say("live", true));
      source.addEventListener("error", () => say("not live", false));
      source.addEventListener("news", (event) => {
        for (const [id, html] of Object.entries(JSON.parse(event.data))) {
          const part = document.getElementById(id);
          if (part) part.innerHTML = html;
        }
        say("live", true);
      });
    })();
    """

  /// What the page has beyond the report.
  static let style: StaticString = """
    .head{display:flex;flex-wrap:wrap;align-items:center;gap:.3rem 1rem;max-width:76rem;margin:0 auto;padding:.9rem 1.25rem;border-bottom:1px solid var(--line)}
    .brand{font:600 1.15rem/1.2 var(--serif);color:var(--ink)}
    .host{color:var(--soft);font-size:.9rem;overflow-wrap:anywhere}
    .live{font-size:.78rem;color:var(--soft)}
    .live::before{content:"";display:inline-block;width:.55rem;height:.55rem;border-radius:50%;background:var(--soft);margin-right:.35rem}
    .live.on::before{background:var(--good)}
    nav{display:flex;flex-wrap:wrap;align-items:center;gap:.2rem 1.1rem;margin-left:auto;font-size:.95rem}
    nav a[aria-current]{color:var(--ink);font-weight:600}
    nav form{display:inline}
    .page main{max-width:76rem;padding-top:1.3rem;padding-bottom:3rem}
    .page section{padding:1.3rem 0 1rem}
    .page section:first-child{border-top:0}
    .page h1{font-size:1.7rem}
    .page p{overflow-wrap:anywhere}
    .page h2{font-size:1.2rem}
    .state{font:1.05rem/1.5 var(--serif);margin:0 0 1rem;max-width:none}
    .bad{color:var(--alarm);font-weight:600}
    .page .figures{margin:0 0 1.2rem}
    .page .columns,.page .chart .scale{height:6rem}
    button{font:inherit;font-size:.9rem;padding:.3rem .8rem;border:1px solid var(--accent);border-radius:6px;background:var(--card);color:var(--accent);cursor:pointer}
    button:hover{background:var(--accent);color:var(--paper)}
    button.plain{border:0;background:none;padding:0;font-size:.95rem;color:var(--accent)}
    button.plain:hover{text-decoration:underline;background:none;color:var(--accent)}
    input,select{font:inherit;font-size:.95rem;padding:.3rem .5rem;border:1px solid var(--line);border-radius:6px;background:var(--card);color:var(--ink);max-width:100%}
    label{font-size:.9rem;color:var(--soft)}
    form.row{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;margin:.6rem 0}
    .login form{display:flex;flex-wrap:wrap;gap:.6rem;align-items:center}
    .wrong,.said{border-left:3px solid var(--second);padding:.2rem .8rem;background:var(--card)}
    .wrong{border-color:var(--alarm)}
    pre{font:.85rem/1.5 var(--mono);white-space:pre-wrap;overflow-wrap:anywhere;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem 1rem}
    .events td{font-size:.92rem}
    .events td:first-child,.nowrap{white-space:nowrap}
    .events td:first-child,.events td:nth-child(2){width:7rem}
    .kind{font-weight:600}
    .kind.blocked,.kind.blind,.kind.lost{color:var(--alarm)}
    .kind.released,.kind.seeing{color:var(--good)}
    dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.2rem;margin:.6rem 0 1rem}
    dl.facts dt{color:var(--soft)}
    dl.facts dd{margin:0;overflow-wrap:anywhere}
    .why p{max-width:none}
    @media (max-width:46rem){
    nav{margin-left:0;width:100%}
    .events td:first-child small,.events .late{display:none}
    .events td:first-child,.events td:nth-child(2){width:auto}
    dl.facts{grid-template-columns:1fr;gap:0}dl.facts dd{margin-bottom:.5rem}
    }
    """
}
