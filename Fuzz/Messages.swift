import Daemon
import Platform
import Response
import Wire

/// What a client may send over the control socket.
func fuzzControlMessage(_ bytes: [UInt8]) {
  if let login = LoginMessage(line: bytes) { precondition(Array(login.line.utf8) == bytes) }
  guard let message = ControlMessage(line: bytes) else { return }
  precondition(ControlMessage(line: Array(message.line.utf8)) == message)
}

/// Attributes of a kernel's answer; both readers must find the same.
func fuzzNetlink(_ bytes: [UInt8]) {
  let list = NetlinkReply.attributeList(in: bytes[...])
  var reader = NetlinkAttributes(bytes[...])
  var count = 0
  while let next = reader.next() {
    precondition(next.type == list[count].type && next.payload == list[count].payload)
    count += 1
    _ = NetlinkReply.attributes(in: next.payload)
    _ = IPAddress(bytes: next.payload)
  }
  precondition(count == list.count)
  precondition(NetlinkReply.attributes(in: bytes[...]).count <= count)
  _ = bytes[...].value(at: bytes.count / 2, as: UInt64.self)
}

/// KILL_HOSTS_DENY with a target, which must stand in the line wherever the template has it.
func fuzzHostsDeny(_ bytes: [UInt8]) {
  guard bytes.count >= 17, let address = IPAddress(bytes: bytes[1..<(bytes[0] % 2 == 0 ? 5 : 17)]) else { return }
  let network = IPNetwork(address, length: Int(bytes[0]) % (address.bitWidth + 1))!
  let line = HostsDeny.line(String(decoding: bytes[17...], as: UTF8.self), target: network, port: 1, mode: "tcp")
  precondition(!line.containsBytes("$TARGET$"))
}
