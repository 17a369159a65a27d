import CLinux
import Wire

/// Reads the addresses that the kernel gives with sockets.
enum SocketAddress {
  /// The address and port in a `sockaddr_in` or `sockaddr_in6`, whichever it is; nil for another family.
  static func endpoint(_ address: sockaddr_in6) -> (address: IPAddress, port: UInt16)? {
    var copy = address
    return unsafe withUnsafeBytes(of: &copy) { raw in
      let bytes = unsafe Array(raw)
      let port = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
      switch Int32(address.sin6_family) {
      case AF_INET6: return IPAddress(bytes: bytes[8..<24]).map { ($0, port) }
      case AF_INET: return IPAddress(bytes: bytes[4..<8]).map { ($0, port) }
      default: return nil
      }
    }
  }
}
