import Platform

/// Why a source could not be shut out, or let in again. Each description ends with the way out.
package enum ResponderError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What the block was to go into is gone: make it again (`ensure()`) and repeat the call.
  case missing(String)
  /// The right to do it is missing.
  case notPermitted(String)
  /// This kernel cannot do it.
  case unsupported(String)
  /// A file, or the file system it is on, is read-only.
  case readOnly(path: String)
  /// A file that anybody may write is not trusted with access control.
  case worldWritable(path: String)
  /// A value that cannot be put where it should go: what it is, and why not.
  case unacceptable(String)
  /// Somebody else changed the rules again and again between our reading and writing them.
  case contended(String)
  /// Anything else the kernel refused.
  case failed(Errno)

  package var description: String {
    switch self {
    case .missing(let what): "\(what) is not there any more: it was removed by somebody else, and has to be made again"
    case .notPermitted(let what): "no permission to change \(what): run as root or with CAP_NET_ADMIN"
    case .unsupported(let what): "this kernel has no \(what): load its module, or choose another BLOCK_METHOD"
    case .readOnly(let path):
      "\(path) is read-only: mount it writable (systemd: ReadWritePaths=\(path)), or take hosts.deny out of BLOCK_METHOD"
    case .worldWritable(let path): "\(path) may be written by anybody and is not used: chmod o-w \(path)"
    case .unacceptable(let what): what
    case .contended(let what): "\(what) was changed by somebody else at every attempt: try again later"
    case .failed(let reason): reason.description
    }
  }
}
