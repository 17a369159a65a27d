import CLinux
import Confinement
import Platform
import Wire

/// The client by which a message of NOTIFY is sent over the network: our own program starts as it, gives up what such a client does not
/// need, and becomes it. It knows a secret, talks with a server of somebody else's, and has been wrong before.
package enum ConfinedClient {
  /// What our program is called then; what follows is the client's path and its arguments.
  package static let role = "portsentry-client"
  /// The client.
  static let name = "curl"
  /// Where programs and what they load are.
  static let programs = ["/lib", "/lib64", "/usr", "/bin", "/sbin"]

  /// Names, certificates, and how this host finds others; no more of /etc.
  private static let settings = [
    "ca-certificates", "crypto-policies", "gai.conf", "gnutls", "host.conf", "hosts", "ld.so.cache", "ld.so.conf",
    "localtime", "nsswitch.conf", "passwd", "pki", "resolv.conf", "services", "ssl",
  ].map { "/etc/\($0)" }

  /// - Parameter words: the client's path, and its arguments.
  /// - Returns: why it could not be started.
  package static func become(_ words: [String]) -> Errno {
    guard let program = words.first else { return Errno(EINVAL, "execve", role) }
    do throws(Errno) {
      try PageUser.current.account?.become(keeping: [])
      try Capabilities.keepOnly([], inherited: false)
      try Confinement.noNewPrivileges()
      _ = try Landlock(
        read: settings + ["/run/systemd/resolve", "/proc/self", "/proc/sys", "/sys/devices/system/cpu"]
          + ["/dev/urandom", "/var/lib/ca-certificates"],
        write: ["/dev/null"], execute: programs
      ).restrict()
      _ = try SystemCalls.client.restrict()
    } catch { return error }
    return ChildProcess.become(program, [name] + words.dropFirst())
  }
}
