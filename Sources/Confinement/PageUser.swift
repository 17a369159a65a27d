import CLinux
import Platform

/// As whom the page's process runs. Sentry and page come to the same answer, each by itself.
package enum PageUser: Equatable, Sendable {
  /// As this user, who is not the sentry's.
  case another(Account)
  /// As the sentry's own; why.
  case same(because: String)

  /// The account that the package makes for the service. One that others use too, such as nobody's, would let them read the journal.
  private static let name = "portsentry"

  package static var current: PageUser {
    let mayChange = (try? Capabilities.permitted().isSuperset(of: [.setUser, .setGroup])) ?? false
    return choose(user: geteuid(), mayChange: mayChange, Account.named(name))
  }

  static func choose(user: uid_t, mayChange: Bool, _ account: Account?) -> PageUser {
    guard mayChange else { return .same(because: "the sentry has no right to change users (CAP_SETUID, CAP_SETGID)") }
    guard let account else { return .same(because: "there is no user \(name)") }
    return account.user == user ? .same(because: "the sentry runs as \(name)") : .another(account)
  }

  package var account: Account? { if case .another(let account) = self { account } else { nil } }
}
