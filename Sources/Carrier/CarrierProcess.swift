import CLinux
import Confinement
import Platform
import Signing

/// The carrier's process: gives its rights up, is told where to go, and runs.
package enum CarrierProcess {
  /// Users that the carrier becomes where it is started by root, the first that there is.
  private static let users = ["portsentry-fleet", "nobody"]

  /// - Parameter raw: its end of the pair.
  /// - Returns: the exit status.
  package static func run(pair raw: Int32) -> Int32 {
    do throws(Errno) {
      CLinux_ignore_signal(SIGPIPE)
      // Parts of a snapshot come and go by the megabyte: each goes back to the kernel at once, and leaves no hole in the heap.
      mallopt(M_MMAP_THRESHOLD, 32 << 10)
      let pair = try CarrierPair(FileDescriptor(owning: raw))
      guard let hello = waitForHello(pair) else { return 0 }
      // Before the files go: OpenSSL reads its configuration.
      let context: TLSContext?
      do throws(TLSFault) { context = try hello.tls.map { (tls) throws(TLSFault) in try TLSContext(tls) } } catch {
        Console.error("portsentry: fleet carrier: \(error)")
        return 1
      }
      try confine()
      guard let carrier = Carrier(pair, hello, context) else { return 64 }
      Code.giveBack()
      carrier.run()
      return 0
    } catch {
      Console.error("portsentry: fleet carrier: \(error)")
      return 1
    }
  }

  /// The first frame, within ten seconds.
  private static func waitForHello(_ pair: CarrierPair) -> CarrierFrame.Hello? {
    let deadline = Clock.monotonic + 10_000_000_000
    while Clock.monotonic < deadline {
      _ = Poll.readable([pair.descriptor], milliseconds: 1_000)
      switch pair.receive() {
      case .frame(.hello(let hello)): return hello
      case .nothing: continue
      default: return nil
      }
    }
    return nil
  }

  /// No user's rights, no capability, no file, no call but those of its work.
  package static func confine() throws(Errno) {
    if geteuid() == 0, let account = users.lazy.compactMap({ Account.named($0) }).first {
      try account.become(keeping: [])
    } else {
      try Capabilities.keepOnly([], inherited: false)
    }
    try Confinement.noNewPrivileges()
    _ = try Landlock().restrict()
    _ = try SystemCalls.carrier.restrict()
  }
}
