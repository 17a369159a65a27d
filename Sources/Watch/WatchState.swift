import Journal
import Report
import Wire

/// What is on the screen, and what a key makes of it. Pure: answers say what is to be done.
package struct WatchState: Sendable {
  /// Which sources are shown.
  package enum Filter: String, Sendable, CaseIterable {
    case all, scans, proven, blocked
  }

  package enum Mode: Equatable, Sendable {
    case list
    /// The text of an address, and how far it is scrolled.
    case detail(IPAddress, lines: [String], top: Int)
    /// A question that `y` answers.
    case confirming(Action)
    /// An address or the beginning of one is typed.
    case searching(String)
    case help
  }

  package enum Action: Equatable, Sendable {
    case block(IPNetwork)
    case unblock(IPNetwork)
  }

  /// What a key asks for.
  package enum Wish: Equatable, Sendable {
    case nothing
    case quit
    case show(IPAddress)
    case act(Action)
    /// Other sources have to be looked up.
    case look
  }

  package var mode = Mode.list
  package var order = SourceOrder.probes
  package var filter = Filter.all
  /// Only addresses that begin so.
  package var search = ""
  package var selected = 0
  package var isPaused = false
  /// What came of the last order.
  package var message = ""

  // What is shown.
  package var pulse: LivePulse?
  package var rate = RateHistory()
  package var hours: [Hour] = []
  package var ports: [(port: PortName, byHour: [UInt64])] = []
  package var sources: [SourceLine] = []
  package var notes: [Note] = []
  package var blocked: [IPNetwork] = []
  package var problem: String?

  package init() {}

  /// The sources that the filter and what was typed leave.
  package var visible: [SourceLine] {
    sources.filter { line in
      let network = line.source.network
      guard search.isEmpty || "\(network)".startsWithBytes(search) else { return false }
      switch filter {
      case .all: return true
      case .scans: return line.source.verdict == .scan
      case .proven: return line.source.origin == .proven
      case .blocked: return isBlocked(network.address)
      }
    }
  }

  package func isBlocked(_ address: IPAddress) -> Bool { blocked.contains { $0.contains(address) } }

  private var chosen: SourceLine? {
    let lines = visible
    return lines.indices.contains(selected) ? lines[selected] : nil
  }

  package mutating func press(_ key: Key, page: Int) -> Wish {
    switch mode {
    case .list: return pressInList(key, page)
    case .detail(let address, let lines, let top):
      switch key {
      case .escape, .enter, .character("q"): mode = .list
      case .up, .character("k"): mode = .detail(address, lines: lines, top: max(0, top - 1))
      case .down, .character("j"): mode = .detail(address, lines: lines, top: min(max(0, lines.count - page), top + 1))
      case .pageUp: mode = .detail(address, lines: lines, top: max(0, top - page))
      case .pageDown, .character(" "):
        mode = .detail(address, lines: lines, top: min(max(0, lines.count - page), top + page))
      case .character("b"): return ask(.block(IPNetwork(address)))
      case .character("u"): return ask(.unblock(IPNetwork(address)))
      default: break
      }
      return .nothing
    case .confirming(let action):
      mode = .list
      if key == .character("y") { return .act(action) }
      message = "nothing was done"
      return .nothing
    case .searching(let text):
      switch key {
      case .enter:
        (search, mode, selected) = (text, .list, 0)
        return .look
      case .escape: mode = .list
      case .backspace: mode = .searching(String(text.dropLast()))
      case .character(let character):
        // Longer than any address it is none.
        if text.count < 45 { mode = .searching(text + String(character)) }
      default: break
      }
      return .nothing
    case .help:
      mode = .list
      return .nothing
    }
  }

  private mutating func ask(_ action: Action) -> Wish {
    mode = .confirming(action)
    return .nothing
  }

  private mutating func pressInList(_ key: Key, _ page: Int) -> Wish {
    message = ""
    let last = max(0, visible.count - 1)
    switch key {
    case .character("q"): return .quit
    case .escape:
      search = ""
      return .look
    case .up, .character("k"): selected = max(0, selected - 1)
    case .down, .character("j"): selected = min(last, selected + 1)
    case .pageUp: selected = max(0, selected - page)
    case .pageDown: selected = min(last, selected + page)
    case .character("s"):
      order = Self.next(order)
      selected = 0
      return .look
    case .character("f"):
      filter = Self.next(filter)
      selected = 0
      return .look
    case .character("/"): mode = .searching("")
    case .character("p"): isPaused.toggle()
    case .character("?"), .character("h"): mode = .help
    case .enter:
      if let chosen { return .show(chosen.source.network.address) }
    case .character("b"):
      if let chosen { return ask(.block(chosen.source.network)) }
    case .character("u"):
      guard let chosen else { break }
      // What covers it is what can be lifted.
      let network = blocked.first { $0.contains(chosen.source.network.address) } ?? chosen.source.network
      return ask(.unblock(network))
    default: break
    }
    return .nothing
  }

  private static func next<Value: CaseIterable & Equatable>(_ value: Value) -> Value {
    let all = Array(Value.allCases)
    return all[((all.firstIndex(of: value) ?? 0) + 1) % all.count]
  }
}
