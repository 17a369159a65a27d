import Wire

/// Why a block ended.
package enum ReleaseReason: Equatable, Sendable {
  case expired
  case byOperator
  /// It has since come onto the list of what is never blocked.
  case nowIgnored
  /// It has since become something that is never blocked, e.g. `the default gateway`.
  case nowSafe(String)
  /// Of a whole prefix: somebody in it used a service of this host properly.
  case memberHonest(IPAddress)
  /// Of a whole prefix: an operator let a member in.
  case memberReleased(IPNetwork)
  /// Of a whole prefix: `BLOCK_PREFIX_IPV6` does not allow it any more.
  case tooWide
  /// `--trial` was not confirmed.
  case trialOver
  /// Of a ban of the fleet: what it rests on is gone, in words.
  case fleet(String)

  /// In words.
  package var text: String {
    switch self {
    case .expired: "expired"
    case .byOperator: "by operator"
    case .nowIgnored: "now on the ignore list"
    case .nowSafe(let what): "now \(what), which is never blocked"
    case .memberHonest(let address): "\(address) in it used a service of this host"
    case .memberReleased(let network): "\(network) in it was released by operator"
    case .tooWide: "wider than BLOCK_PREFIX_IPV6 allows"
    case .trialOver: "the trial was not confirmed"
    case .fleet(let why): why
    }
  }
}
