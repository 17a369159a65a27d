import CLinux
import Platform

extension NFTables {
  /// Chains of others before the sockets of this host, which a packet has to pass after our own: one of them it is that hides
  /// decoys where packets are lost behind our rules.
  ///
  /// - Returns: as `nft` names them: `ip filter INPUT`. Those of iptables-legacy are not told.
  package mutating func inputChains() throws(ResponderError) -> [String] { try hooked().map { "\($0)" } }

  /// The same with what `portsentry firewall` wants to know of each: two questions to the kernel, the second for all rules of this host.
  mutating func firewallChains() throws(ResponderError) -> [InputChain] {
    let chains = try hooked()
    if chains.isEmpty { return [] }
    let size = MemoryLayout<nfgenmsg>.size
    let rules: [(chain: [String], ours: UInt64?)] = try read(
      NFT_MSG_GETRULE, dump: true, family: Int32(NFPROTO_UNSPEC), "rules", { _ in }
    ) {
      let parts = $1.attributes(after: size)
      guard let family = $1.fixed(nfgenmsg.self).flatMap({ Self.family($0.nfgen_family) }),
        let table = parts[NFTA_RULE_TABLE]?.text, let chain = parts[NFTA_RULE_CHAIN]?.text
      else { return }
      let isOurs = Self.comment(parts[NFTA_RULE_USERDATA] ?? [])?.elementsEqual(Firewall.comment.utf8) == true
      $0.append(([family, table, chain], isOurs ? parts[NFTA_RULE_HANDLE]?.number64 : nil))
    }
    return chains.map { chain in
      let own = rules.filter { $0.chain == chain.words }
      return InputChain(
        chain.family, chain.table, chain.name, accepts: chain.accepts, rules: own.count, ours: own.compactMap(\.ours))
    }
  }

  private mutating func hooked() throws(ResponderError) -> [InputChain] {
    let size = MemoryLayout<nfgenmsg>.size
    let own = table
    return try read(NFT_MSG_GETCHAIN, dump: true, family: Int32(NFPROTO_UNSPEC), "chains", { _ in }) {
      let parts = $1.attributes(after: size)
      let hook = NetlinkReply.attributes(in: parts[NFTA_CHAIN_HOOK] ?? [])
      guard let family = $1.fixed(nfgenmsg.self).flatMap({ Self.family($0.nfgen_family) }),
        let table = parts[NFTA_CHAIN_TABLE]?.text, let name = parts[NFTA_CHAIN_NAME]?.text, table != own,
        parts[NFTA_CHAIN_TYPE]?.text == "filter", hook[NFTA_HOOK_HOOKNUM]?.number == NF_INET_LOCAL_IN.rawValue
      else { return }
      let accepts = parts[NFTA_CHAIN_POLICY]?.number != UInt32(NF_DROP)
      $0.append(InputChain(family, table, name, accepts: accepts, rules: 0))
    }
  }

  private static func family(_ number: UInt8) -> String? {
    switch Int32(number) {
    case Int32(NFPROTO_IPV4): "ip"
    case Int32(NFPROTO_IPV6): "ip6"
    case Int32(NFPROTO_INET): "inet"
    default: nil
    }
  }

  /// The comment of a rule as `nft` keeps it: type 0, a length, the text and a zero byte, among others of that form.
  private static func comment(_ data: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    var rest = data
    while rest.count > 2 {
      let (type, length) = (rest[rest.startIndex], Int(rest[rest.startIndex + 1]))
      let value = rest.dropFirst(2).prefix(length)
      if type == 0 { return value.last == 0 ? value.dropLast() : value }
      rest = rest.dropFirst(2 + length)
    }
    return nil
  }
}
