import Detection
import FoundationEssentials
import Journal
import Platform
import Report
import Testing
import Wire

@testable import Watch

/// Tuesday, 2026-11-03, 12:00 UTC.
let now = Timestamp(seconds: 1_793_707_200)

func line(
  _ address: String, _ probes: UInt64, origin: Origin = .unproven, verdict: Verdict.Class? = nil, name: String? = nil
) -> SourceLine {
  var source = Source(id: 1, network: IPNetwork(address)!, first: now, last: now, probes: probes)
  source.origin = origin
  source.verdict = verdict
  source.name = name
  return SourceLine(source: source, probes: probes)
}

/// A state with something of everything, much of it hostile.
func full() -> WatchState {
  var state = WatchState()
  state.sources = [
    line("10.0.0.1", 1_234_567, origin: .proven, verdict: .scan, name: "\u{1b}[2J<script>.example"),
    line("10.0.0.2", 7, verdict: .backscatter),
    line("10.0.0.30", 5, origin: .proven, name: "\u{202e}evil"),
    line("2001:db8:1111:2222:3333:4444:5555:6666", 3, verdict: .scan),
  ]
  state.blocked = [IPNetwork("10.0.0.2")!, IPNetwork("192.0.2.0/24")!]
  state.notes = [
    Note(id: 1, time: now, kind: .refused, subject: IPNetwork("10.0.0.2"), text: "\u{1b}]0;title\u{7} 日本\r\nnext"),
    Note(id: 2, time: now, kind: .blind),
  ]
  state.hours = (0..<24).map { Hour(hour: now.wholeSeconds / 3600 - 23 + $0, probes: UInt64($0) * 1000) }
  state.ports = [
    (PortName(Technique.syn, 23), (0..<25).map { UInt64($0) }),
    (PortName(Technique.udp, 5060), Array(repeating: 0, count: 25)),
  ]
  for second in 0..<100 { state.rate.add(UInt64(second * second), at: Int64(second)) }
  return state
}

/// What is seen of a line, or nil when anything in it but our own colours moves the terminal.
func seen(_ line: String) -> String? {
  var result = ""
  var rest = line.unicodeScalars[...]
  while let scalar = rest.popFirst() {
    guard scalar == "\u{1b}" else {
      // What we draw with is one column wide: ASCII, blocks, and no control.
      guard (0x20...0x7e).contains(scalar.value) || (0x2580...0x259f).contains(scalar.value) else { return nil }
      result.unicodeScalars.append(scalar)
      continue
    }
    guard rest.popFirst() == "[" else { return nil }
    while let digit = rest.popFirst(), digit != "m" { guard ("0"..."9").contains(digit) else { return nil } }
  }
  return result
}

@Suite struct WatchScreenTests {
  @Test(arguments: [(20, 5), (40, 10), (79, 23), (80, 24), (132, 43), (149, 50), (150, 50), (200, 60), (500, 200)])
  func `Fills the terminal, no line too wide, whatever is shown`(columns: Int, rows: Int) {
    let screen = WatchScreen(columns: columns, rows: rows, zone: .utc)
    var state = full()
    let words = Array(repeating: String(repeating: "word ", count: 99), count: 300)
    let modes: [WatchState.Mode] = [
      .list, .help, .searching("10.0"), .confirming(.block(IPNetwork("10.0.0.1")!)),
      .detail(IPAddress("10.0.0.1")!, lines: words, top: 7),
    ]
    for mode in modes {
      state.mode = mode
      for problem in [nil, "cannot open \u{1b}[31m" + String(repeating: "x", count: 400)] {
        state.problem = problem
        state.message = problem ?? ""
        let lines = screen.draw(state, now: now, host: "host\u{1b}[2J.example")
        #expect(lines.count == rows)
        for line in lines {
          let text = seen(line)
          #expect(text != nil, "\(line.debugDescription)")
          #expect(text?.count ?? 0 <= columns)
        }
      }
    }
  }

  @Test func `Without Unicode it is ASCII`() {
    let screen = WatchScreen(columns: 100, rows: 30, isPlain: true, zone: .utc)
    let lines = screen.draw(full(), now: now, host: "h")
    #expect(lines.allSatisfy { $0.utf8.allSatisfy { $0 < 0x80 } })
  }

  func text(_ state: WatchState, columns: Int = 100, rows: Int = 40) -> String {
    WatchScreen(columns: columns, rows: rows, zone: .utc).draw(state, now: now, host: "gate").compactMap(seen)
      .joined(separator: "\n")
  }

  @Test func `Says that nothing is watched, and that nothing can be seen`() throws {
    var state = full()
    #expect(text(state).contains("PortSentry is NOT running: nothing is watched"))
    let pulse = """
      {"version": "3", "started": \(now.wholeSeconds - 7200), "seen": 1, "alerts": 0, "ignored": 0, "blocks": 2,
        "blocks_made": 2, "lost": 5, "journal_lost": 0, "journal_failing": true, "interfaces": ["eth0"],
        "tcp_mode": "atcp", "udp_mode": null, "response": "log"}
      """
    state.pulse = try JSONDecoder().decode(LivePulse.self, from: Data(pulse.utf8))
    #expect(text(state).contains("gate, atcp on eth0, up 2h"))
    #expect(text(state).contains("2 blocked, 5 LOST, journal FAILS"))
    state.pulse?.interfaces = []
    #expect(text(state).contains("SEES NOTHING: no interface is up"))
  }

  @Test func `A blocked source is said to be, and hostile names are text`() {
    let text = text(full(), columns: 140)
    #expect(text.contains("BLOCKED  backscatter"))
    #expect(text.contains("proven   scan \\x1b[2J<script>.example"))
    #expect(text.contains("\\xe2\\x80\\xaeevil"))
  }

  @Test func `The chosen source is on the screen, however many there are`() {
    var state = WatchState()
    state.sources = (0..<500).map { line("10.0.\($0 / 250).\($0 % 250)", UInt64(1000 - $0)) }
    for chosen in [0, 1, 17, 250, 498, 499] {
      state.selected = chosen
      for (columns, rows) in [(80, 24), (200, 60)] {
        let lines = WatchScreen(columns: columns, rows: rows, zone: .utc).draw(state, now: now, host: "h")
        let marked = lines.filter { $0.contains("\u{1b}[7m") }
        #expect(marked.count == 1)
        #expect(marked.first?.contains("10.0.\(chosen / 250).\(chosen % 250) ") == true)
      }
    }
  }
}

@Suite struct WatchStateTests {
  @Test func `Keys choose, within what is there`() {
    var state = full()
    for _ in 0..<9 { #expect(state.press(.down, page: 20) == .nothing) }
    #expect(state.selected == 3)
    #expect(state.press(.character("k"), page: 20) == .nothing)
    #expect(state.selected == 2)
    #expect(state.press(.enter, page: 20) == .show(IPAddress("10.0.0.30")!))
    _ = state.press(.pageUp, page: 20)
    #expect(state.selected == 0)
    var nobody = WatchState()
    #expect(nobody.press(.enter, page: 20) == .nothing)
    #expect(nobody.press(.down, page: 20) == .nothing)
    #expect(nobody.selected == 0)
    #expect(nobody.press(.character("b"), page: 20) == .nothing)
    #expect(nobody.mode == .list)
  }

  @Test func `Nothing is blocked without a yes`() {
    var state = full()
    _ = state.press(.character("b"), page: 20)
    #expect(state.mode == .confirming(.block(IPNetwork("10.0.0.1")!)))
    #expect(state.press(.enter, page: 20) == .nothing)
    #expect(state.message == "nothing was done")
    #expect(state.mode == .list)
    _ = state.press(.character("b"), page: 20)
    #expect(state.press(.character("y"), page: 20) == .act(.block(IPNetwork("10.0.0.1")!)))
  }

  @Test func `What is lifted is the block that covers the source`() {
    var state = full()
    state.sources.append(line("192.0.2.9", 1))
    state.selected = 4
    _ = state.press(.character("u"), page: 20)
    #expect(state.press(.character("y"), page: 20) == .act(.unblock(IPNetwork("192.0.2.0/24")!)))
  }

  @Test func `Filters and beginnings of addresses leave what they say`() {
    var state = full()
    func shown() -> [String] { state.visible.map { "\($0.source.network)" } }
    #expect(state.press(.character("f"), page: 20) == .look)
    #expect(shown() == ["10.0.0.1", "2001:db8:1111:2222:3333:4444:5555:6666"])
    _ = state.press(.character("f"), page: 20)
    #expect(shown() == ["10.0.0.1", "10.0.0.30"])
    _ = state.press(.character("f"), page: 20)
    #expect(shown() == ["10.0.0.2"])
    _ = state.press(.character("f"), page: 20)
    #expect(shown().count == 4)
    for key in "/10.0.0.3x" { _ = state.press(.character(key), page: 20) }
    _ = state.press(.backspace, page: 20)
    #expect(state.press(.enter, page: 20) == .look)
    #expect(shown() == ["10.0.0.30"])
    #expect(state.press(.escape, page: 20) == .look)
    #expect(shown().count == 4)
  }

  @Test func `Every order comes by, and the first again`() {
    var state = full()
    var orders: [SourceOrder] = []
    for _ in SourceOrder.allCases {
      #expect(state.press(.character("s"), page: 20) == .look)
      orders.append(state.order)
    }
    #expect(Set(orders.map(\.rawValue)).count == SourceOrder.allCases.count)
    #expect(state.order == .probes)
  }

  @Test func `A text is scrolled to its end and no further`() {
    var state = full()
    state.mode = .detail(IPAddress("10.0.0.1")!, lines: Array(repeating: "x", count: 50), top: 0)
    func top() -> Int { if case .detail(_, _, let top) = state.mode { top } else { -1 } }
    for _ in 0..<9 { _ = state.press(.character(" "), page: 20) }
    #expect(top() == 30)
    _ = state.press(.up, page: 20)
    #expect(top() == 29)
    for _ in 0..<9 { _ = state.press(.pageUp, page: 20) }
    #expect(top() == 0)
    #expect(state.press(.character("q"), page: 20) == .nothing)
    #expect(state.mode == .list)
    #expect(state.press(.character("q"), page: 20) == .quit)
  }

  @Test func `What is typed has an end`() {
    var state = WatchState()
    _ = state.press(.character("/"), page: 20)
    for _ in 0..<500 { _ = state.press(.character("1"), page: 20) }
    #expect(state.mode == .searching(String(repeating: "1", count: 45)))
  }
}
