import Platform
import Wire

/// `portsentry report --html`: one file that needs nothing else, no network and no script.
package enum ReportPage {
  package static func html(_ s: Summary) -> HTML {
    """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="generator" content="PortSentry \(s.version)">
    <title>\(Prose.title(s))</title>
    <style>
    \(HTML(stringLiteral: Style.sheet))
    </style>
    </head>
    <body>
    <header class="top"><p class="kicker">PortSentry</p><h1>\(Prose.title(s))</h1><p class="span">\(Prose.span(s))</p></header>
    <main>
    <p class="lead">\(Prose.lead(s))</p>
    \(Sections.figures(s))\(body(s))</main>
    <footer><p>Made by PortSentry \(s.version) at \(s.zone.minute(s.now)) \(s.zone.name(at: s.now)), from the journal of this host. A
    probe is a packet or a connection to an unused port; late answers and other innocent packets are left out. Ports with a
    listening service are not watched: attacks on services are not in this report. Numbers of hosts count addresses; behind one address may
    be many, and one machine may have many.\(ignored(s))</p></footer>
    </body>
    </html>

    """
  }

  /// All sections in their order.
  package static func body(_ s: Summary, _ link: Sections.Link = { _ in nil }) -> HTML {
    Sections.days(s) + Sections.heat(s) + Sections.ports(s) + Sections.rising(s) + Sections.tools(s) + Sections.reach(s)
      + Sections.echoes(s) + Sections.sources(s, link) + Sections.extremes(s, link) + Sections.blocks(s, link)
      + FleetSection.html(s, link) + Sections.sight(s)
  }

  private static func ignored(_ s: Summary) -> HTML {
    s.ignored > 0
      ? " \(Units.plural(s.ignored, "probe")) of sources that the ignore file names are not counted." : HTML()
  }
}
