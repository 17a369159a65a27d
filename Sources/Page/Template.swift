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
  ///   - live: said until the news come, on a page that follows them; nil on any other.
  static func page(
    _ title: String, here: String, session: Sessions.Session?, host: String, live: String? = nil, _ body: HTML
  ) -> HTML {
    let links = places.map { place -> HTML in
      let current: HTML = here == place.path.description ? " aria-current=\"page\"" : HTML()
      return "<a href=\"\(HTML(stringLiteral: place.path))\"\(current)>\(HTML(stringLiteral: place.name))</a>"
    }
    let navigation: HTML =
      session == nil
      ? HTML()
      : """
      <nav class="main" aria-label="Pages">\(links)<form method="post" action="/logout">\(key(session))<button class="plain">Log out</button></form></nav>
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
      \(live == nil ? HTML() : "<script src=\"/page.js\" defer></script>")
      </head>
      <body class="page">
      <header class="head"><a class="skip" href="#main">Skip to the content</a><a class="brand" href="/">PortSentry</a> <span class="host">\(host)</span>\
      \(live.map { "<span id=\"live\" class=\"live\" role=\"status\">\($0)</span>" } ?? HTML())\(navigation)</header>
      <main id="main">
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

  static func link(_ port: PortName) -> String { "/port?port=\(query(port))" }

  /// - Parameter hours: since 1970.
  static func link(hours: ClosedRange<Int64>, _ port: PortName?) -> String {
    "/hour?at=\(hours.lowerBound)&hours=\(hours.count)\(port.map { "&port=\(query($0))" } ?? "")"
  }

  /// A port as it stands in an address: `23/tcp`, `8/icmp`.
  static func query(_ port: PortName) -> String { "\(port.port ?? 0)/\(port.family)" }

  /// Reads what `query` gave.
  static func port(_ text: String) -> PortName? {
    let parts = text.splitBytes("/", maxSplits: 1)
    guard parts.count == 2, let number = UInt16(parts[0]),
      let family = PortName.Family.allCases.first(where: { parts[1].isSameBytes(as: "\($0)") })
    else { return nil }
    return PortName(family, number)
  }

  /// Text as a value in the query of an address: every byte but letters and digits as a percent sign and two digits.
  static func encoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var result: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        result.append(byte)
      default: result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  static func login(host: String, isWrong: Bool) -> HTML {
    page(
      "Log in", here: "/login", session: nil, host: host,
      """
      <section class="login"><h1>Log in</h1>
      <p>This page shows what was seen on this host, and can block and unblock. <code>portsentry console --url</code>, \
      run as root on this host, prints a link that opens it. The link works once, within two minutes.</p>
      \(isWrong ? "<p class=\"wrong\" role=\"alert\">This ticket is not valid, or was used already. Have another link printed.</p>" as HTML : HTML())
      <form method="post" action="/login"><label for="login">The part of the link after “login=”</label> \
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

  /// Replaces the parts of the page that the news name. They come escaped; the page forbids scripts within them. What was unfolded stays
  /// so, and the focus stays where it was.
  static let script: StaticString = """
    "use strict";
    (() => {
      const live = document.getElementById("live");
      const say = (text, on) => {
        if (live.textContent !== text) live.textContent = text;
        live.classList.toggle("on", on);
      };
      const replace = (part, html) => {
        const next = document.createElement("template");
        next.innerHTML = html;
        if (next.innerHTML === part.innerHTML) return;
        const open = [...part.querySelectorAll("details[open]")].map((one) => one.id);
        const at = part.contains(document.activeElement) ? document.activeElement : null;
        const fold = at && at.tagName === "SUMMARY" ? at.parentElement.id : "";
        const link = at && at.getAttribute("href");
        part.innerHTML = html;
        for (const id of open) { const one = document.getElementById(id); if (one) one.open = true; }
        const again = fold ? document.querySelector(`#${CSS.escape(fold)} > summary`)
          : link ? [...part.querySelectorAll("a")].find((one) => one.getAttribute("href") === link) : null;
        if (again) again.focus({preventScroll: true});
      };
      // Cells of a heat map: arrows, Home and End; what the one with the focus is stands below.
      document.addEventListener("keydown", (event) => {
        const at = event.target.closest(".cells a");
        if (!at || event.ctrlKey || event.altKey || event.metaKey) return;
        const rows = [...at.closest("table").querySelectorAll(".cells")].map((row) => [...row.querySelectorAll("a")]);
        const y = rows.findIndex((row) => row.includes(at)), x = rows[y].indexOf(at);
        const to = {ArrowLeft: rows[y][x - 1], ArrowRight: rows[y][x + 1], Home: rows[y][0], End: rows[y].at(-1),
          ArrowUp: rows[y - 1]?.[x], ArrowDown: rows[y + 1]?.[x]}[event.key];
        if (!to) return;
        event.preventDefault();
        to.focus();
      });
      document.addEventListener("focusin", (event) => {
        const at = event.target.closest(".cells a");
        if (at) at.closest("figure").querySelector(".cell").textContent = at.getAttribute("aria-label");
      });
      const source = new EventSource("/events");
      source.addEventListener("error", () => say("not connected", false));
      source.addEventListener("news", (event) => {
        for (const [id, html] of Object.entries(JSON.parse(event.data))) {
          if (id === "live") { say(html, html === "live"); continue; }
          const part = document.getElementById(id);
          if (part) replace(part, html);
        }
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
    .page main a{text-decoration:underline;text-decoration-thickness:1px;text-decoration-color:var(--h3);text-underline-offset:.2em}
    .page main a:hover,.page main a:focus{text-decoration-color:currentColor}
    .page main .spans a,.page main .target{text-decoration:none}
    .page h2{font-size:1.2rem}
    .answer::before{content:"";display:inline-block;width:.75rem;height:.75rem;border-radius:50%;margin-right:.6rem;vertical-align:.1rem;background:var(--good)}
    .answer.bad::before{background:var(--alarm)}
    .bad{color:var(--alarm);font-weight:600}
    #state{margin-bottom:1.1rem}
    #state .span{max-width:none}
    .figures small{font-size:.78rem}
    .skip{position:absolute;left:-99rem}
    .skip:focus{position:static}
    .narrow{display:none}
    ul.plain,ul.feed{list-style:none;margin:0 0 .6rem;padding:0}
    ul.plain li{padding:.35rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
    ul.plain li:last-child{border-bottom:0}
    .columns-of{columns:16rem;max-width:56rem}
    .need{color:var(--alarm);font-weight:600}
    .need span{display:block;color:var(--ink);font-weight:400;font-size:.92rem}
    .page .pair section{border-top:1px solid var(--line)}
    .pair h3:first-child{margin-top:0}
    .spans,.pages{display:flex;flex-wrap:wrap;gap:.4rem;align-items:center;margin:.2rem 0 .6rem;font-size:.9rem}
    .spans a,.target{display:inline-block;padding:.25rem .7rem;border:1px solid var(--line);border-radius:6px;background:var(--card)}
    .spans a[aria-current]{border-color:var(--accent);color:var(--ink);font-weight:600}
    .pages span{color:var(--soft);margin:0 .4rem}
    .bar{display:flex;flex-wrap:wrap;gap:.2rem 2rem;align-items:center}
    .bar>p{margin:0}
    .columns.links a:hover .hit,.columns.links a:focus .hit{fill:var(--rail)}
    .columns.links a:focus{outline:0}
    .columns.links a:focus .whole{fill:var(--ink)}
    .ghost{fill:none;stroke:var(--second);stroke-width:1.6;pointer-events:none}
    .key .line{background:none;border-top:2px solid var(--second);width:1.1rem;height:0;vertical-align:.2rem}
    .cells a:focus{outline:0}
    .cells a:focus-visible rect{stroke:var(--accent);stroke-width:3px;vector-effect:non-scaling-stroke}
    .heatmap figcaption.cell:empty{display:none}
    .cells a:hover rect{stroke:var(--ink);stroke-width:1px;vector-effect:non-scaling-stroke}
    .feed li{display:grid;grid-template-columns:6.5rem 6.5rem minmax(0,1fr);gap:0 .6rem;padding:.42rem 0;border-bottom:1px solid var(--line);font-size:.92rem}
    .feed li:last-child{border-bottom:0}
    .feed li.fold{display:block}
    .feed .what{overflow-wrap:anywhere}
    td.wrap,td.wrap small{white-space:normal}
    summary{cursor:pointer}
    .feed summary{padding:.1rem 0;color:var(--soft)}
    .feed summary b{color:var(--ink);margin:0 .2rem 0 .6rem}
    .feed details>.feed{margin:.4rem 0 0 1.1rem}
    .why details,section>details{margin:.3rem 0}
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
    .kind{font-weight:600}
    .kind.blocked,.kind.blind,.kind.lost{color:var(--alarm)}
    .kind.released,.kind.seeing{color:var(--good)}
    dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.2rem;margin:.6rem 0 1rem}
    dl.facts dt{color:var(--soft)}
    dl.facts dd{grid-column:2;margin:0;overflow-wrap:anywhere}
    dl.facts dd small a{margin-right:.6rem}
    .why p{max-width:none}
    @media (max-width:46rem){
    .page main,.head{padding-left:1rem;padding-right:1rem}
    nav.main{margin-left:0;width:100%;gap:0 1.1rem}
    nav.main a,nav.main button,.brand,.spans a,.target,.page main button,.page main summary,.list a,.plain a,.heatmap a,.page main p a{min-height:44px;min-width:44px;\
    display:inline-flex;align-items:center}
    .spans a,.target{justify-content:center}
    .page main summary{display:list-item;padding:.8rem 0}
    .page main input,.page main select{min-height:44px;flex:1 1 8rem}
    .page main .cells a{pointer-events:none;min-width:0;min-height:0}
    .page .heatmap .heat{height:2.2rem}
    .columns.links a{pointer-events:none}
    .narrow{display:block}
    .list td .narrow{white-space:normal}
    .page .list tbody td,.page .list tbody th{vertical-align:baseline}
    .feed li{grid-template-columns:5.6rem minmax(0,1fr);gap:0 .5rem}
    .feed .what{grid-column:1/-1}
    .feed .what a{min-height:44px;display:inline-flex;align-items:center}
    .feed .when small{display:inline;margin-left:.4rem}
    .feed .when{grid-column:1/2;white-space:nowrap}
    .feed .when small{display:none}
    .feed details>.feed{margin-left:.5rem}
    dl.facts{grid-template-columns:1fr;gap:0}dl.facts dd{grid-column:1;margin-bottom:.5rem}
    dl.facts dd a{min-height:44px;display:inline-flex;align-items:center;margin-right:.6rem}
    }
    """
}
