import CLinux
import Platform

extension NFTables {
  /// Chains of others before the sockets of this host, which a packet has to pass after our own: one of them it is that hides
  /// decoys where packets are lost behind our rules.
  ///
  /// - Returns: as `nft` names them: `ip filter INPUT`. Those of iptables-legacy are not told.
  package mutating func inputChains() throws(ResponderError) -> [String] {
    let size = MemoryLayout<nfgenmsg>.size
    let own = table
    let families: [Int32: String] = [
      Int32(NFPROTO_IPV4): "ip", Int32(NFPROTO_IPV6): "ip6", Int32(NFPROTO_INET): "inet",
    ]
    return try read(NFT_MSG_GETCHAIN, dump: true, family: Int32(NFPROTO_UNSPEC), "chains", { _ in }) {
      let parts = $1.attributes(after: size)
      let hook = NetlinkReply.attributes(in: parts[NFTA_CHAIN_HOOK] ?? [])
      guard let family = $1.fixed(nfgenmsg.self)?.nfgen_family, let table = parts[NFTA_CHAIN_TABLE]?.text,
        let name = parts[NFTA_CHAIN_NAME]?.text, table != own, parts[NFTA_CHAIN_TYPE]?.text == "filter",
        let word = families[Int32(family)], hook[NFTA_HOOK_HOOKNUM]?.number == NF_INET_LOCAL_IN.rawValue
      else { return }
      $0.append("\(word) \(table) \(name)")
    }
  }
}
