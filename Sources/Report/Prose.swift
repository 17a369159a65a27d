import Detection
import Journal
import Platform
import Wire

/// The sentences of a report: what each picture shows, for readers who are no specialists. Page and text say the same.
package enum Prose {
  package static func title(_ s: Summary) -> String { "What knocked on \(s.host)" }

  package static func span(_ s: Summary) -> String {
    let first = max(s.window.start, s.since ?? s.window.start)
    let last = min(s.now, Timestamp(nanoseconds: s.window.end.nanoseconds - 1))
    let (from, to) = (s.zone.date(first), s.zone.date(last))
    return (from == to ? from : "\(from) to \(to)") + ", \(s.zone.name(at: last))"
  }

  static func length(_ s: Summary) -> Duration {
    let first = max(s.window.start, s.since ?? s.window.start)
    return max(min(s.now, s.window.end) - first, .seconds(1))
  }

  package static func lead(_ s: Summary) -> String {
    guard s.probes > 0 else {
      return "No probes. Either no source came by, or nothing was watched: see below."
    }
    let days = (length(s).components.seconds + 43_200) / 86_400
    let time = days >= 2 ? "\(days) days" : Term.text(length(s))
    return
      "In \(time) \(Units.plural(s.sources, "address", "addresses")) touched unused ports of this host"
      + " \(times(s.probes)): \(Units.rate(s.probes, in: length(s))), day and night. No service is there. Whoever touches such"
      + " a port looks for a way in, or counts hosts."
  }

  private static func times(_ count: UInt64) -> String {
    count >= 1_000_000 ? "\(Units.tenths(Double(count) / 1e6)) million times" : "\(Units.count(count)) times"
  }

  package static func pace(_ s: Summary) -> String? {
    guard let pace = s.pace, pace.before > 0 else { return nil }
    let change = pace.recent / pace.before - 1
    if abs(change) < 0.03 { return "The last seven days were as busy as those before." }
    return
      "The last seven days brought \(Units.percent(abs(change))) \(change > 0 ? "more" : "less") a day than those before."
  }

  package static func days(_ s: Summary) -> String {
    let whole = s.days.filter { $0.watched > 0.9 && $0.isWhole }
    guard let most = whole.max(by: { $0.probes < $1.probes }), let least = whole.min(by: { $0.probes < $1.probes }),
      most.day != least.day
    else { return "Each column is a day." }
    var text =
      "Each column is a day. The busiest was \(s.zone.shortDate(most.start)) with \(Units.count(most.probes)) probes, the"
      + " quietest \(s.zone.shortDate(least.start)) with \(Units.count(least.probes))."
    if s.days.contains(where: { $0.watched < 0.98 || !$0.isWhole }) {
      text += " Faint columns are days of which only a part was watched, or is over."
    }
    return text
  }

  package static func hours(_ s: Summary) -> String {
    let column =
      s.columnHours == 1 ? "an hour" : s.columnHours == 24 ? "a day" : "\(s.columnHours) hours"
    return
      "Each row is a port, each column \(column); the stronger the colour, the more probes. An even row is always asked for; a row that"
      + " begins late is something new; a strong column is somebody who tried everything."
  }

  package static func rhythm(_ s: Summary) -> String {
    guard let most = s.hoursOfDay.indices.max(by: { s.hoursOfDay[$0] < s.hoursOfDay[$1] }),
      let least = s.hoursOfDay.indices.min(by: { s.hoursOfDay[$0] < s.hoursOfDay[$1] }), s.hoursOfDay[least] > 0,
      s.days.count > 2
    else { return "" }
    let factor = s.hoursOfDay[most] / s.hoursOfDay[least]
    if factor < 1.15 {
      return
        "There is no night: machines knock, and they do not sleep. All hours (\(s.zone.name(at: s.now))) are alike."
    }
    return
      "The most addresses are about at \(clock(most)) (\(s.zone.name(at: s.now))), \(Units.tenths(factor)) times as many as at"
      + " \(clock(least)): some of what knocks is switched off at night, where it stands."
  }

  private static func clock(_ hour: Int) -> String { "\(hour < 10 ? "0" : "")\(hour):00" }

  package static func ports(_ s: Summary) -> String {
    guard let first = s.ports.first else { return "No port was touched." }
    let shown = s.ports.reduce(0) { $0 + $1.line.probes }
    let rest = s.portCount - s.ports.count
    return
      "The door most often tried is \(name(first.line.port)): \(Units.percent(first.line.probes, of: s.probes)) of all probes."
      + (rest > 0
        ? " These \(s.ports.count) get \(Units.percent(shown, of: s.probes)); the rest is spread over \(Units.plural(rest, "other", "others"))."
        : "")
  }

  /// `23/tcp (Telnet: remote shell without encryption)`.
  package static func name(_ port: PortName) -> String {
    guard let short = PortNames.short(port) else { return "\(port)" }
    return "\(port) (\(short)\(PortNames.long(port).map { ": \($0)" } ?? ""))"
  }

  package static func rising(_ s: Summary) -> String {
    guard let first = s.rising.first else {
      return s.pace == nil
        ? "There is not yet a week before the last one to compare it with."
        : "No port is asked for much more often than before."
    }
    let factor =
      first.isNew
      ? "hardly ever before"
      : "\(Units.tenths(Double(first.recent) / max(first.before, 0.01))) times as often as before"
    return "\(name(first.port)) was touched \(Units.plural(first.recent, "time")) in the last seven days, \(factor)."
      + " A port that rises suddenly often means that a hole has become known in something that uses it."
  }

  package static func tools(_ s: Summary) -> String {
    let known = s.tools.filter { $0.tool.family != .connect && $0.tool.family != .unknown }
    guard let first = known.first else {
      return "The headers of a packet often betray the program that made it. Here they did not."
    }
    return "The headers of a packet often betray the program that made it. \(toolName(first.tool)) leads with"
      + " \(Units.plural(first.sources, "source")). \"unnamed\" are programs that nobody has given a name, but that always leave"
      + " the same marks; \"connect\" is the ordinary connection of an operating system, behind which may be anything."
  }

  package static func toolName(_ tool: Tool) -> String {
    switch tool.family {
    case .mirai: "Mirai, which makes bots of cameras and routers,"
    case .zmap: "zmap, made to scan the whole Internet in an hour,"
    case .masscan: "masscan, made to scan the whole Internet in minutes,"
    case .nmap: "nmap, made to look closely at one host,"
    default: tool.name
    }
  }

  package static func techniques(_ s: Summary) -> String {
    guard let first = s.techniques.first else { return "" }
    let share = Units.percent(first.probes, of: s.probes)
    let what =
      switch first.technique {
      case .syn: "half a greeting (SYN): enough to learn whether a port is open"
      case .connect: "a whole connection"
      case .udp: "a datagram (UDP)"
      default: first.technique.name
      }
    return "\(share) of all probes are \(what)."
  }

  package static func reach(_ s: Summary) -> String {
    let passing = s.reach.first { $0.reach == .passing }?.sources ?? 0
    let aimed = s.reach.first { $0.reach == .aimed }?.sources ?? 0
    guard s.sources > 0 else { return "" }
    return
      "\(Units.percent(passing, of: s.sources)) of all sources tried three ports at most: they look for one hole in the whole"
      + " Internet, and this host happened to be there. \(Units.plural(aimed, "source")) tried many ports of this host in a"
      + " short time: they meant this one."
  }

  package static func reachName(_ reach: Summary.Reach) -> (short: String, long: String) {
    switch reach {
    case .passing: ("Passing by", "up to three ports: one hole, everywhere")
    case .mapping: ("Mapping the Internet", "many ports over weeks, or with a tool made for that")
    case .closer: ("Having a second look", "some more ports")
    case .aimed: ("Aimed at this host", "many ports in a short time")
    }
  }

  package static func origins(_ s: Summary) -> String {
    let proven = s.origins.first { $0.origin == .proven }?.sources ?? 0
    return
      "The sender of a packet is a claim: anybody can write any address. \(Units.count(proven)) of \(Units.count(s.sources))"
      + " (\(Units.percent(proven, of: s.sources))) have proven that they are where they say, by answering what only the owner of"
      + " the address receives. Only those may be blocked without harm to a bystander."
  }

  package static func echoes(_ s: Summary) -> String {
    guard s.victimCount > 0 else {
      return
        "No answers came to questions that this host never asked. That means that nobody has lately forged this host's"
        + " address to flood others."
    }
    let port = s.victimPorts.first.map { " Most often it was \(name($0.port))." } ?? ""
    return
      "\(Units.plural(s.victimCount, "address", "addresses")) sent answers to questions that this host never asked. Somebody"
      + " had asked in its name: these hosts were being flooded with forged packets, and this host saw the echo. They are"
      + " victims, no scanners, and are never blocked.\(port)"
  }

  package static func places(_ s: Summary) -> String {
    guard let first = s.networks.first else { return "" }
    let network =
      "No network stands for much: the one with the most sources, \(first.network), has \(Units.count(first.sources))"
      + " (\(Units.percent(first.sources, of: UInt64(max(s.sources, 1)))))."
    guard let country = s.countries.first else {
      return network + " Countries are shown where GEOIP_FILE names a database of them."
    }
    return
      "\(SafeText.line(country.name)) has the most sources, \(Units.percent(country.sources, of: max(s.sources, 1))). That says where"
      + " machines stand, many of them infected, and not who gives them orders. \(network)"
  }

  package static func extremes(_ s: Summary) -> String {
    guard let longest = s.longest.first else { return "No scan was found." }
    var text = "The longest scan took \(Term.text(longest.duration))."
    if let broad = s.broadest.first { text += " The broadest touched \(Units.plural(broad.ports, "port"))." }
    if let slow = s.slowest.first {
      text += " The slowest sent a probe every \(Term.text(Summary.gap(slow))): too slow for any detector with a clock."
    }
    return text
  }

  package static func blocks(_ s: Summary) -> String {
    let b = s.blocks
    guard b.made + b.ended + b.inForce > 0 else {
      return "Nobody was blocked: either nothing asked for it, or only logging is configured."
    }
    var text =
      "\(Units.plural(b.made, "block")) \(b.made == 1 ? "was" : "were") made; \(Units.count(b.inForce)) \(b.inForce == 1 ? "is" : "are") in force."
    if b.wentOn > 0 {
      text += " \(Units.count(b.wentOn)) went on for more than a minute after the block was made."
    }
    if b.ended > 0 {
      text +=
        " Of \(Units.plural(b.ended, "block")) that ended, \(Units.count(b.cameBack)) (\(Units.percent(b.cameBack, of: b.ended))) saw"
        + " their source come back."
    }
    return text
  }

  package static func fleet(_ s: Summary) -> String {
    let b = s.blocks
    guard b.fleet > 0 else { return "" }
    let first =
      b.byHost.first.map { " The host that saw most of them is \($0.host), \(Units.plural($0.blocks, "block"))." } ?? ""
    return
      "\(Units.count(b.fleet)) of \(Units.plural(b.made, "block")) \(b.fleet == 1 ? "rests" : "rest") on what other hosts of the"
      + " fleet saw: several hosts had completed connections of the same address at their decoys.\(first)"
  }

  package static func sight(_ s: Summary) -> String {
    guard let share = s.sight.share else { return "When a sentry was watching is not known." }
    let (blind, off) = (s.sight.time(.blind), s.sight.time(.off))
    var text = "\(Units.percent(share)) of the time was watched."
    if blind > .zero { text += " For \(Term.text(blind)) no interface was up." }
    if off > .zero { text += " For \(Term.text(off)) no sentry ran." }
    if s.losses.isEmpty {
      text += " Nothing that came was lost."
    } else {
      let lost = s.losses.map { "\(Units.count($0.count)) \(EventText.lost($0.kind.name))" }.joined(separator: "; ")
      text += " Not everything that came could be written down: \(lost)."
    }
    return text
  }
}
