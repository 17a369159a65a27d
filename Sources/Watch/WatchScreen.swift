import Detection
import Journal
import Platform
import Report
import Wire

/// Draws the state as lines of a terminal, each no wider than it. Pure.
package struct WatchScreen: Sendable {
  /// How parts stand out, as numbers of SGR (ECMA-48 section 8.3.117).
  enum Style: Int, Sendable {
    case plain = 0
    case bold = 1
    case dim = 2
    case reverse = 7
    case red = 31
    case cyan = 36
  }

  /// A line in parts; its width is what is seen of it.
  struct Line: Sendable {
    private(set) var text = ""
    private(set) var width = 0
    let limit: Int

    init(_ limit: Int) { self.limit = limit }

    mutating func add(_ part: String, _ style: Style = .plain) {
      let cut = String(part.prefix(max(0, limit - width)))
      guard !cut.isEmpty else { return }
      text += style == .plain ? cut : "\u{1b}[\(style.rawValue)m\(cut)\u{1b}[0m"
      width += cut.count
    }

    mutating func pad(to column: Int) {
      if column > width { add(String(repeating: " ", count: min(column, limit) - width)) }
    }
  }

  package let columns: Int
  package let rows: Int
  package let isPlain: Bool
  package let zone: Zone

  package init(columns: Int, rows: Int, isPlain: Bool = false, zone: Zone = .local) {
    self.columns = max(20, columns)
    self.rows = max(5, rows)
    self.isPlain = isPlain
    self.zone = zone
  }

  /// Rows of a page, for scrolling.
  package var page: Int { max(1, rows - 3) }

  /// As many lines as the terminal has.
  package func draw(_ state: WatchState, now: Timestamp, host: String) -> [String] {
    var lines: [Line]
    switch state.mode {
    case .detail(let address, let text, let top): lines = detail(address, text, top, state)
    case .help: lines = help()
    default: lines = list(state, now, host)
    }
    while lines.count < rows - 1 { lines.append(Line(columns)) }
    lines = Array(lines.prefix(rows - 1))
    lines.append(foot(state))
    return lines.map(\.text)
  }

  // MARK: The list

  private func list(_ state: WatchState, _ now: Timestamp, _ host: String) -> [Line] {
    var lines = head(state, now, host)
    lines += speed(state)
    let heatRows = rows >= 40 ? 12 : rows >= 30 ? 8 : rows >= 20 ? 5 : 0
    lines += heat(state, heatRows)
    let left = rows - 1 - lines.count
    if columns >= 150 {
      let width = columns * 3 / 5
      let sources = self.sources(state, now, left, width)
      let events = self.events(state, left, columns - width - 2)
      for row in 0..<left {
        var line = sources.indices.contains(row) ? sources[row] : Line(width)
        line.pad(to: width)
        var whole = Line(columns)
        whole.join(line)
        whole.add("  ")
        if events.indices.contains(row) { whole.join(events[row]) }
        lines.append(whole)
      }
      return lines
    }
    let eventRows = max(3, left * 2 / 5)
    lines += sources(state, now, left - eventRows, columns)
    lines += events(state, eventRows, columns)
    return lines
  }

  private func head(_ state: WatchState, _ now: Timestamp, _ host: String) -> [Line] {
    var first = Line(columns)
    first.add("PortSentry ", .bold)
    if let pulse = state.pulse {
      first.add("\(SafeText.line(host, limit: 40)), ")
      if pulse.interfaces.isEmpty {
        first.add("SEES NOTHING: no interface is up", .red)
      } else {
        let modes = [pulse.tcp_mode, pulse.udp_mode].compactMap(\.self).joined(separator: " ")
        first.add(
          "\(SafeText.line(modes, limit: 20)) on \(SafeText.line(pulse.interfaces.joined(separator: " "), limit: 40))")
        first.add(", up \(Term.text(now - Timestamp(seconds: pulse.started)))")
      }
    } else {
      first.add("is NOT running: nothing is watched", .red)
    }
    let clock = zone.clock(now) + (state.isPaused ? " paused" : "")
    if first.width + clock.count + 1 <= columns {
      first.pad(to: columns - clock.count)
      first.add(clock, .dim)
    }
    var second = Line(columns)
    let day = state.hours.reduce(0) { $0 + $1.probes }
    if state.rate.seconds > 0 {
      second.add(Units.rate(state.rate.sum(of: 10), in: .seconds(min(10, state.rate.seconds))), .bold)
      second.add(" now, ")
    }
    second.add("\(Units.count(state.hours.last?.probes ?? 0)) this hour, \(Units.short(day)) in 24 h")
    if let pulse = state.pulse {
      second.add(", \(Units.count(pulse.blocks)) blocked")
      if pulse.lost > 0 { second.add(", \(Units.short(pulse.lost)) LOST", .red) }
      if pulse.journal_failing { second.add(", journal FAILS", .red) }
    }
    if let problem = state.problem { second.add(", \(SafeText.line(problem, limit: 200))", .red) }
    return [first, second]
  }

  private func speed(_ state: WatchState) -> [Line] {
    let width = columns - 10
    let seconds = min(RateHistory.capacity, max(width, 60))
    let known = Array(state.rate.perSecond.suffix(seconds))
    let counts = Sparkline.squeeze(Array(repeating: 0, count: seconds - known.count) + known, to: width)
    var line = Line(columns)
    line.add("5 min ", .dim)
    let text = Sparkline.text(counts, isPlain: isPlain)
    line.add(String(repeating: " ", count: max(0, width - text.count)))
    line.add(text, .cyan)
    return [line]
  }

  private func heat(_ state: WatchState, _ count: Int) -> [Line] {
    guard count > 0, !state.ports.isEmpty else { return [] }
    let ports = state.ports.prefix(count)
    let name = 11
    let hours = ports.first?.byHour.count ?? 24
    let cell = max(1, (columns - name - 14) / max(hours, 1))
    let most = ports.flatMap(\.byHour).max() ?? 0
    let shades = isPlain ? Array(" .:*#") : Array(" ░▒▓█")
    var title = Line(columns)
    title.add("PORTS, 24 hours", .dim)
    return [title]
      + ports.map { port in
        var line = Line(columns)
        line.add("\(port.port)")
        line.pad(to: name)
        let text = port.byHour.map { value -> String in
          // Equal factors lie equally far apart, as in the report.
          let step = value == 0 ? 0 : value * 2 >= most ? 4 : value * 6 >= most ? 3 : value * 20 >= most ? 2 : 1
          return String(repeating: String(shades[step]), count: cell)
        }.joined()
        line.add(text, .cyan)
        line.add(" \(PortNames.short(port.port) ?? "")", .dim)
        return line
      }
  }

  private func sources(_ state: WatchState, _ now: Timestamp, _ count: Int, _ width: Int) -> [Line] {
    guard count > 1 else { return [] }
    let lines = state.visible
    var title = Line(width)
    title.add("SOURCES, this hour and the one before, by \(state.order.rawValue)", .dim)
    if state.filter != .all { title.add(", \(state.filter.rawValue)", .bold) }
    if !state.search.isEmpty { title.add(", \(SafeText.line(state.search))*", .bold) }
    let shown = count - 1
    let top = max(0, min(state.selected - shown + 1, lines.count - shown))
    let addressWidth = min(39, max(15, lines.map { "\($0.source.network)".count }.max() ?? 15))
    return [title]
      + lines.enumerated().dropFirst(top).prefix(shown).map { index, entry in
        row(entry, state, now, isSelected: index == state.selected, addressWidth, width)
      }
  }

  private func row(
    _ entry: SourceLine, _ state: WatchState, _ now: Timestamp, isSelected: Bool, _ addressWidth: Int, _ width: Int
  ) -> Line {
    let source = entry.source
    let address = "\(source.network)"
    var text = address + String(repeating: " ", count: max(1, addressWidth - address.count + 1))
    func right(_ value: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - value.count)) + value + " "
    }
    text += right(Units.short(entry.probes), 5) + right(SourceList.ports(source), 5)
    text += right(Units.ago(source.last, now: now), 11)
    let isBlocked = state.isBlocked(source.network.address)
    text +=
      isBlocked ? "BLOCKED  " : source.origin.name + String(repeating: " ", count: max(1, 9 - source.origin.name.count))
    text += source.verdict?.name ?? "-"
    if source.tool != .unknown { text += " \(source.tool.name)" }
    if let name = source.name { text += " \(SafeText.line(name, limit: 60))" }
    var line = Line(width)
    if isSelected {
      line.add(text + String(repeating: " ", count: max(0, width - text.count)), .reverse)
    } else {
      line.add(text, isBlocked ? .red : source.verdict == .scan ? .bold : .plain)
    }
    return line
  }

  private func events(_ state: WatchState, _ count: Int, _ width: Int) -> [Line] {
    guard count > 1 else { return [] }
    var title = Line(width)
    title.add("EVENTS, newest first", .dim)
    return [title]
      + state.notes.prefix(count - 1).map { note in
        var line = Line(width)
        line.add("\(zone.clock(note.time)) ", .dim)
        line.add(
          note.kind.name + String(repeating: " ", count: max(1, 9 - note.kind.name.count)),
          note.kind == .blocked || note.kind == .blind || note.kind == .lost ? .red : .bold)
        if let subject = note.subject { line.add("\(subject) ") }
        line.add(EventText.words(note))
        return line
      }
  }

  // MARK: The rest

  private func detail(_ address: IPAddress, _ text: [String], _ top: Int, _ state: WatchState) -> [Line] {
    var title = Line(columns)
    title.add("\(address)", .bold)
    title.add(state.isBlocked(address) ? "  BLOCKED" : "", .red)
    return [title]
      + text.dropFirst(top).prefix(rows - 2).map {
        var line = Line(columns)
        line.add($0)
        return line
      }
  }

  private func help() -> [Line] {
    let rows: [(String, String)] = [
      ("up down, j k", "choose a source"), ("enter", "all about it"), ("b", "block it, after a question"),
      ("u", "unblock it, after a question"), ("s", "sort: probes, last, first, ports"),
      ("f", "filter: all, scans, proven, blocked"), ("/", "only addresses that begin so; esc: all again"),
      ("p", "pause"), ("q", "quit"),
    ]
    var title = Line(columns)
    title.add("Keys", .bold)
    return [title]
      + rows.map { key, meaning in
        var line = Line(columns)
        line.add("  \(key)", .bold)
        line.pad(to: 18)
        line.add(meaning)
        return line
      }
  }

  private func foot(_ state: WatchState) -> Line {
    var line = Line(columns)
    switch state.mode {
    case .confirming(.block(let network)): line.add("Block \(network)? y: yes, any other key: no", .reverse)
    case .confirming(.unblock(let network)): line.add("Unblock \(network)? y: yes, any other key: no", .reverse)
    case .searching(let text): line.add("Addresses that begin with: \(SafeText.line(text))_", .reverse)
    case .detail: line.add("esc back  up down scroll  b block  u unblock", .dim)
    case .help: line.add("any key: back", .dim)
    case .list:
      if state.message.isEmpty {
        line.add("enter show  b block  u unblock  s sort  f filter  / find  ? keys  q quit", .dim)
      } else {
        line.add(SafeText.line(state.message, limit: 500), .bold)
      }
    }
    return line
  }
}

extension WatchScreen.Line {
  /// Adds a finished line to this one; it must fit.
  mutating func join(_ other: WatchScreen.Line) {
    guard width + other.width <= limit else { return add(String(repeating: " ", count: max(0, limit - width))) }
    text += other.text
    width += other.width
  }
}
