import Confinement
import Platform
import Response
import Wire

/// What the enforcer answers, one reply for each order that asks for one, and what it says unasked. Read as strictly as an order.
package enum EnforcerReply: Equatable, Sendable {
  // MARK: Answers

  /// - `true`: something had to be made.
  case done(Bool)
  /// Not to be blocked, and why.
  case refused(String)
  case failed(ResponderError)
  /// How much somebody else had lifted or added; how many of the whole were refused, and why the first was.
  case mended(UInt32, refused: UInt32, because: String)
  /// The sums differ: the whole is wanted.
  case differs
  case number(UInt64)
  /// For how long an address is doubted still, in nanoseconds; nil where it is not.
  case remaining(Int64?)
  /// At most `mostChains`.
  case chains([String])
  /// The enforcer, and the process that starts it anew.
  case health([ProcessState], landlock: Bool)

  // MARK: News

  /// An enforcer is there: its process, and whether it takes the place of one that ended.
  case hello(pid: Int32, isAgain: Bool)
  /// It has ended, and how; another is started.
  case ended(String)
  /// Somebody else has changed the table.
  case touched

  package var isNews: Bool {
    switch self {
    case .hello, .ended, .touched: true
    default: false
    }
  }

  package static let mostChains = 32
  private static let chain = 96
  private static let text = 240
  private static let states = 2

  private enum Kind: UInt8, CaseIterable {
    case done = 1
    case refused, failed, mended, differs, number, remaining, chains, health, hello, ended, touched

    var size: Int {
      switch self {
      case .done: 2
      case .refused, .ended: 1 + text
      case .failed: 1 + 1 + 4 + 2 * text
      case .mended: 1 + 8 + text
      case .differs, .touched: 1
      case .number: 9
      case .remaining: 10
      case .chains: 2 + mostChains * chain
      case .health: 3 + states * 42
      case .hello: 6
      }
    }
  }

  /// The largest datagram.
  package static let largest = Kind.allCases.map(\.size).max() ?? 0

  package var bytes: [UInt8] {
    func writer(_ kind: Kind) -> MessageWriter { MessageWriter(kind.rawValue, size: kind.size) }
    var out: MessageWriter
    switch self {
    case .done(let isMade):
      out = writer(.done)
      out.put(isMade)
    case .refused(let why):
      out = writer(.refused)
      out.put(why, Self.text)
    case .failed(let error):
      out = writer(.failed)
      out.put(error)
    case .mended(let count, let refused, let why):
      out = writer(.mended)
      out.put(count)
      out.put(refused)
      out.put(why, Self.text)
    case .differs: out = writer(.differs)
    case .number(let number):
      out = writer(.number)
      out.put(number)
    case .remaining(let time):
      out = writer(.remaining)
      out.put(time != nil)
      out.put(UInt64(bitPattern: time ?? 0))
    case .chains(let chains):
      out = writer(.chains)
      out.put(UInt8(min(chains.count, Self.mostChains)))
      for name in chains.prefix(Self.mostChains) { out.put(name, Self.chain) }
    case .health(let states, let landlock):
      out = writer(.health)
      out.put(landlock)
      out.put(UInt8(min(states.count, Self.states)))
      for state in states.prefix(Self.states) { out.put(state) }
    case .hello(let pid, let isAgain):
      out = writer(.hello)
      out.put(UInt32(bitPattern: pid))
      out.put(isAgain)
    case .ended(let why):
      out = writer(.ended)
      out.put(why, Self.text)
    case .touched: out = writer(.touched)
    }
    return out.bytes
  }

  /// Nil where it is no reply.
  package init?(_ bytes: ArraySlice<UInt8>) {
    guard let kind = bytes.first.flatMap(Kind.init), bytes.count == kind.size else { return nil }
    var from = MessageReader(bytes.dropFirst())
    guard let reply = Self.read(kind, &from), from.isRestZero else { return nil }
    self = reply
  }

  private static func read(_ kind: Kind, _ from: inout MessageReader) -> EnforcerReply? {
    switch kind {
    case .done: return from.flag().map { .done($0) }
    case .refused: return from.name(text).map { .refused($0) }
    case .failed: return from.error(text).map { .failed($0) }
    case .mended:
      guard let count = from.number(UInt32.self), let refused = from.number(UInt32.self), let why = from.name(text)
      else { return nil }
      return .mended(count, refused: refused, because: why)
    case .differs: return .differs
    case .number: return from.number(UInt64.self).map { .number($0) }
    case .remaining:
      guard let isThere = from.flag(), let time = from.number(UInt64.self), isThere || time == 0 else { return nil }
      return .remaining(isThere ? Int64(bitPattern: time) : nil)
    case .chains: return from.list(mostChains) { $0.name(chain) }.map { .chains($0) }
    case .health:
      guard let landlock = from.flag(), let found = from.list(states, { $0.state() }) else { return nil }
      return .health(found, landlock: landlock)
    case .hello:
      guard let pid = from.number(UInt32.self), let isAgain = from.flag() else { return nil }
      return .hello(pid: Int32(bitPattern: pid), isAgain: isAgain)
    case .ended: return from.name(text).map { .ended($0) }
    case .touched: return .touched
    }
  }
}

extension MessageWriter {
  fileprivate mutating func put(_ error: ResponderError) {
    let (tag, code, texts): (UInt8, Int32, [String]) =
      switch error {
      case .missing(let what): (1, 0, [what])
      case .notPermitted(let what): (2, 0, [what])
      case .unsupported(let what): (3, 0, [what])
      case .readOnly(let path): (4, 0, [path])
      case .worldWritable(let path): (5, 0, [path])
      case .unacceptable(let what): (6, 0, [what])
      case .contended(let what): (7, 0, [what])
      case .failed(let error): (8, error.code, [error.call, error.subject])
      }
    put(tag)
    put(UInt32(bitPattern: code))
    for text in texts { put(text, 240) }
  }

  fileprivate mutating func put(_ state: ProcessState) {
    put(UInt32(bitPattern: state.pid))
    put(UInt32(bitPattern: state.parent))
    put(UInt32(state.user))
    put(UInt32(state.effectiveUser))
    put(state.capabilities.rawValue)
    put(state.noNewPrivileges)
    put(UInt8(state.systemCallFilter))
    put(state.name, 16)
  }
}

extension MessageReader {
  fileprivate mutating func error(_ room: Int) -> ResponderError? {
    guard let tag = number(UInt8.self), let code = number(UInt32.self), let first = name(room), let second = name(room),
      tag == 8 || (code == 0 && second.isEmpty)
    else { return nil }
    switch tag {
    case 1: return .missing(first)
    case 2: return .notPermitted(first)
    case 3: return .unsupported(first)
    case 4: return .readOnly(path: first)
    case 5: return .worldWritable(path: first)
    case 6: return .unacceptable(first)
    case 7: return .contended(first)
    case 8: return .failed(Errno(Int32(bitPattern: code), first, second))
    default: return nil
    }
  }

  fileprivate mutating func state() -> ProcessState? {
    guard let pid = number(UInt32.self), let parent = number(UInt32.self), let user = number(UInt32.self),
      let effective = number(UInt32.self), let capabilities = number(UInt64.self), let none = flag(),
      let filter = number(UInt8.self), let name = name(16)
    else { return nil }
    return ProcessState(
      pid: Int32(bitPattern: pid), parent: Int32(bitPattern: parent), name: name, user: user, effectiveUser: effective,
      capabilities: Capabilities(rawValue: capabilities), noNewPrivileges: none, systemCallFilter: Int(filter))
  }
}
