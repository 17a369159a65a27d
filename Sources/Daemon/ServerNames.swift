import CLinux
import Platform
import Synchronization
import Wire

/// The addresses of servers that are known by name: looked up on a thread of its own, since the resolver of libc waits, and
/// again every hour. At most 64 names with 64 addresses each. What was found stays when a later look-up fails.
final class ServerNames: Sendable {
  private struct State {
    var addresses: [String: [IPAddress]] = [:]
    var isBusy = false
    var next: Int64 = 0
    var asked: Set<String> = []
  }

  private let state = Mutex(State())
  private static let limit = 64

  /// What is known by now.
  func addresses(of name: String) -> [IPAddress] { state.withLock { $0.addresses[name] ?? [] } }

  /// Looks names up that were not asked for, and all of them when an hour is over. Does not wait.
  func lookUp(_ names: Set<String>, now: Int64) {
    let wanted = Set(names.sorted().prefix(Self.limit))
    let isDue = state.withLock {
      guard !$0.isBusy, !wanted.isEmpty, now >= $0.next || !wanted.isSubset(of: $0.asked) else { return false }
      $0.isBusy = true
      $0.asked = wanted
      $0.next = now + 3_600_000_000_000
      return true
    }
    guard isDue else { return }
    let thread = try? Thread.start(name: "servers") { [self] in
      for name in wanted {
        let found = Self.resolve(name)
        if !found.isEmpty { state.withLock { $0.addresses[name] = found } }
      }
      state.withLock { $0.isBusy = false }
    }
    if thread == nil { state.withLock { $0.isBusy = false } }
  }

  private static func resolve(_ name: String) -> [IPAddress] {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = CLinux_SOCK_DGRAM
    var list: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
    defer { unsafe freeaddrinfo(list) }
    var found: [IPAddress] = []
    var next = unsafe list
    while let entry = unsafe next, found.count < limit {
      if let raw = unsafe entry.pointee.ai_addr {
        var address = sockaddr_in6()
        let size = min(Int(unsafe entry.pointee.ai_addrlen), MemoryLayout<sockaddr_in6>.size)
        unsafe withUnsafeMutableBytes(of: &address) {
          unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: size))
        }
        if let endpoint = SocketAddress.endpoint(address), !found.contains(endpoint.address) {
          found.append(endpoint.address)
        }
      }
      unsafe next = entry.pointee.ai_next
    }
    return found
  }
}
