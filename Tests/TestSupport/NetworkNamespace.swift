import CLinux
import Platform

/// A network of its own for a test: the real kernel, with nobody else's interfaces, routes and rules.
package enum NetworkNamespace {
  /// Whether this process may make one (it needs CAP_SYS_ADMIN).
  package static let isPossible: Bool = {
    do { return try inNamespace { true } } catch { return false }
  }()

  /// What a skipped test says.
  package static let skipped = "SKIPPED: needs root, to make a network namespace"
}

/// Runs `body` in a fresh network namespace with loopback up.
///
/// `unshare(2)` moves only the calling thread, and it is moved back afterwards; the rest of the process stays where it
/// is. What `body` starts by `shell` is in the new namespace, too. The namespace ends with its last socket and process.
package func inNamespace<Value>(_ body: () throws -> Value) throws -> Value {
  let home = try FileDescriptor.open("/proc/thread-self/ns/net", O_RDONLY)
  try check("unshare") { CLinux.unshare(CLinux_CLONE_NEWNET) }
  defer {
    // A thread that goes on in the wrong network would make nonsense of the tests after this one.
    if setns(home.raw, CLinux_CLONE_NEWNET) != 0 { fatalError("cannot leave the network namespace of a test") }
  }
  try loopbackUp()
  return try body()
}

private func loopbackUp() throws {
  var socket = try NetlinkSocket(NETLINK_ROUTE, changes: true)
  var buffer = [UInt8](repeating: 0, count: 8_192)
  let sequence = socket.nextSequence()
  var message = NetlinkMessage()
  var link = ifinfomsg()
  link.ifi_index = 1
  link.ifi_flags = UInt32(IFF_UP)
  link.ifi_change = UInt32(IFF_UP)
  message.begin(UInt16(RTM_NEWLINK), flags: NLM_F_REQUEST | NLM_F_ACK, sequence: sequence, fixed: link)
  message.end()
  try socket.request(message, sequence: sequence, buffer: &buffer) { _ in }
}

/// Runs a shell command on this thread (and so in its namespace): exit status, and what it wrote to both outputs.
@discardableResult
package func shell(_ command: String) -> (status: Int32, output: String) {
  guard let pipe = unsafe popen("exec 2>&1; " + command, "re") else { return (-1, "popen failed") }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 4_096)
  while true {
    let count = unsafe fread(&chunk, 1, chunk.count, pipe)
    if count == 0 { break }
    bytes += chunk[..<count]
  }
  let status = unsafe pclose(pipe)
  let code = CLinux_exited(status) != 0 ? CLinux_exit_status(status) : 128 + CLinux_term_signal(status)
  return (code, String(decoding: bytes, as: UTF8.self))
}
