import CLinux
import Synchronization
import Wire

/// Host names for addresses (`RESOLVE_HOST`), looked up on a thread of its own so that nobody waits for DNS.
///
/// A name is believed only when it is forward-confirmed: whoever owns an address also owns what its reverse record
/// says, but not where that name points. For a poll loop: `request`, poll `fd` with a time-out until `nextDeadline`,
/// then take the `results`.
package final class NameResolver: Sendable {
  /// What is known at once.
  package enum Answer: Equatable, Sendable {
    /// The name, or nil where there is none that can be believed, or where too many look-ups wait already.
    case known(String?)
    /// It will be among the `results`, at the latest after `deadline`.
    case pending
  }

  /// What became of one request.
  package struct Result: Equatable, Sendable {
    package let id: UInt64
    package let address: IPAddress
    /// Nil: go on with the address.
    package let name: String?

    package init(id: UInt64, address: IPAddress, name: String?) {
      self.id = id
      self.address = address
      self.name = name
    }
  }

  package struct Settings: Sendable {
    /// Requests that may wait. When they are that many, the next gets nil at once and is counted.
    package var queue = 256
    /// Names (and their absence) remembered; the oldest goes first.
    package var cache = 4096
    package var lifetime = Duration.seconds(600)
    /// How long a request may wait for its name.
    package var deadline = Duration.seconds(2)

    package init() {}
  }

  private let shared: Shared

  /// Starts the thread. It ends when the resolver is let go of, after the look-up under way.
  ///
  /// - Parameter lookUp: another one in tests. It may block.
  package init(
    _ settings: Settings = Settings(),
    lookUp: @escaping @Sendable (IPAddress) -> String? = NameResolver.confirmedName
  ) throws(Errno) {
    let shared = Shared(settings, done: try EventFlag(), work: try EventFlag())
    self.shared = shared
    _ = try Thread.start(name: "names") { shared.run(lookUp) }
  }

  deinit {
    shared.state.withLock { $0.isStopped = true }
    shared.work.signal()
  }

  /// The descriptor to poll; readable when there are results.
  package var fd: Int32 { shared.done.fd }

  /// Requests that got no look-up because too many were waiting.
  package var refused: Int { shared.state.withLock { $0.refused } }

  /// When the first waiting request is to be given up; nil when none waits.
  package var nextDeadline: Timestamp? {
    shared.state.withLock { state in
      state.waiting.isEmpty ? nil : state.waiting.reduce(Timestamp(nanoseconds: .max)) { min($0, $1.deadline) }
    }
  }

  /// Asks for a name.
  ///
  /// - Parameter id: the caller's own, to know the result by.
  package func request(_ address: IPAddress, id: UInt64, now: Timestamp) -> Answer {
    let answer: Answer = shared.state.withLock { state in
      state.now = max(state.now, now)
      if let known = state.cache[address], known.until > now { return .known(known.name) }
      guard state.waiting.count + state.results.count < shared.settings.queue else {
        state.refused += 1
        return .known(nil)
      }
      state.waiting.append(Waiting(id: id, address: address, deadline: now + shared.settings.deadline))
      return .pending
    }
    if answer == .pending { shared.work.signal() }
    return answer
  }

  /// Takes what has been answered since, and gives up what has waited too long.
  package func results(now: Timestamp) -> [Result] {
    shared.done.clear()
    return shared.state.withLock { state in
      state.now = max(state.now, now)
      var results = state.results
      state.results = []
      state.waiting.removeAll { waiting in
        guard waiting.deadline <= now else { return false }
        results.append(Result(id: waiting.id, address: waiting.address, name: nil))
        return true
      }
      return results
    }
  }

  private struct Waiting: Sendable {
    let id: UInt64
    let address: IPAddress
    let deadline: Timestamp
  }

  private struct State: Sendable {
    var isStopped = false
    /// The latest time that a caller has told; the thread reads no clock.
    var now = Timestamp.distantPast
    var refused = 0
    /// In order of arrival. Together with the results not yet taken at most `Settings.queue`.
    var waiting: [Waiting] = []
    var results: [Result] = []
    var cache: [IPAddress: (name: String?, until: Timestamp)] = [:]
    /// The addresses in the cache in the order in which they came, as a ring.
    var ages: [IPAddress] = []
    var oldest = 0

    /// Answers everybody who waits for `address`, and remembers.
    mutating func settle(_ address: IPAddress, _ name: String?, _ settings: Settings) {
      if cache.updateValue((name, now + settings.lifetime), forKey: address) == nil {
        if ages.count < settings.cache {
          ages.append(address)
        } else if settings.cache > 0 {
          cache[ages[oldest]] = nil
          ages[oldest] = address
          oldest = (oldest + 1) % settings.cache
        }
      }
      waiting.removeAll { waiting in
        guard waiting.address == address else { return false }
        results.append(Result(id: waiting.id, address: address, name: name))
        return true
      }
    }
  }

  private final class Shared: Sendable {
    let settings: Settings
    let done: EventFlag
    let work: EventFlag
    let state = Mutex(State())

    init(_ settings: Settings, done: consuming EventFlag, work: consuming EventFlag) {
      self.settings = settings
      self.done = done
      self.work = work
    }

    func run(_ lookUp: (IPAddress) -> String?) {
      while true {
        // Only what somebody still waits for is looked up, so a slow name server does not leave a queue of old work.
        let (isStopped, next) = state.withLock { ($0.isStopped, $0.waiting.first?.address) }
        if isStopped { return }
        guard let address = next else {
          var watched = pollfd(fd: work.fd, events: Int16(POLLIN), revents: 0)
          _ = unsafe poll(&watched, 1, -1)
          work.clear()
          continue
        }
        let name = lookUp(address).flatMap { SafeText.hostName($0) }
        state.withLock { $0.settle(address, name, settings) }
        done.signal()
      }
    }
  }

  /// The name that the system's resolver gives for `address` (getnameinfo), if the addresses of that name include it
  /// (getaddrinfo) and it may stand in a record. Blocks.
  package static func confirmedName(_ address: IPAddress) -> String? {
    var storage = sockaddr_storage()
    let length = fill(&storage, address)
    var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let code = unsafe withUnsafePointer(to: &storage) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe getnameinfo($0, length, &host, socklen_t(host.count), nil, 0, NI_NAMEREQD)
      }
    }
    guard code == 0 else { return nil }
    let text = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard let name = SafeText.hostName(text) else { return nil }
    var hints = unsafe addrinfo()
    unsafe hints.ai_family = address.isV4 ? AF_INET : AF_INET6
    unsafe hints.ai_socktype = CLinux_SOCK_STREAM
    var list: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(name, nil, &hints, &list) == 0 else { return nil }
    defer { unsafe freeaddrinfo(list) }
    var entry = unsafe list
    while let this = unsafe entry {
      if let found = unsafe self.address(of: this.pointee.ai_addr), found == address { return name }
      unsafe entry = this.pointee.ai_next
    }
    return nil
  }

  private static func fill(_ storage: inout sockaddr_storage, _ address: IPAddress) -> socklen_t {
    let bytes = address.bytes
    if address.isV4 {
      var v4 = sockaddr_in()
      v4.sin_family = sa_family_t(AF_INET)
      unsafe withUnsafeMutableBytes(of: &v4.sin_addr) { unsafe $0.copyBytes(from: bytes) }
      unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.storeBytes(of: v4, as: sockaddr_in.self) }
      return socklen_t(MemoryLayout<sockaddr_in>.size)
    }
    var v6 = sockaddr_in6()
    v6.sin6_family = sa_family_t(AF_INET6)
    unsafe withUnsafeMutableBytes(of: &v6.sin6_addr) { unsafe $0.copyBytes(from: bytes) }
    unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.storeBytes(of: v6, as: sockaddr_in6.self) }
    return socklen_t(MemoryLayout<sockaddr_in6>.size)
  }

  @unsafe
  private static func address(of pointer: UnsafeMutablePointer<sockaddr>?) -> IPAddress? {
    guard let pointer = unsafe pointer else { return nil }
    let raw = UnsafeRawPointer(pointer)
    switch unsafe Int32(pointer.pointee.sa_family) {
    case AF_INET:
      let v4 = unsafe raw.loadUnaligned(as: sockaddr_in.self)
      return IPAddress(v4: UInt32(bigEndian: v4.sin_addr.s_addr))
    case AF_INET6:
      let v6 = unsafe raw.loadUnaligned(as: sockaddr_in6.self)
      return unsafe withUnsafeBytes(of: v6.sin6_addr) { unsafe IPAddress(bytes: Array($0)) }
    default:
      return nil
    }
  }
}
