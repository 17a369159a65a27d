import CLinux

/// A `sockaddr_un` for a path, or for a name in the abstract namespace when it begins with `@`.
package struct UnixAddress {
  private var address = sockaddr_un()
  private let length: socklen_t

  /// nil when the path does not fit in 107 bytes.
  package init?(_ path: String) {
    var bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count < 108 else { return nil }
    let isAbstract = bytes[0] == UInt8(ascii: "@")
    if isAbstract { bytes[0] = 0 }
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    length = socklen_t(2 + bytes.count + (isAbstract ? 0 : 1))
  }

  package func withPointer<R>(_ body: (UnsafeRawPointer, socklen_t) -> R) -> R {
    unsafe withUnsafePointer(to: address) { unsafe body(UnsafeRawPointer($0), length) }
  }
}
