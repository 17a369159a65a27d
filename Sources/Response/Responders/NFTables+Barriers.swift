import CLinux
import Platform

extension NFTables {
  /// Chains of others, before the sockets of this host, that drop what no rule of theirs accepts, and so hide our decoys: the
  /// trap comes before them, but a packet has to pass both.
  ///
  /// Found are chains whose policy is to drop, and those whose last rule drops or rejects whatever comes to it. A table in
  /// which something asks for sockets (`socket transparent 1 accept`) is taken to let the decoys through.
  ///
  /// - Returns: as `nft` names them: `ip filter INPUT`.
  package mutating func barriers() throws(ResponderError) -> [String] {
    let size = MemoryLayout<nfgenmsg>.size
    let own = table
    let found: [Barrier] = try read(NFT_MSG_GETCHAIN, dump: true, family: Int32(NFPROTO_UNSPEC), "chains", { _ in }) {
      let parts = $1.attributes(after: size)
      let hook = NetlinkReply.attributes(in: parts[NFTA_CHAIN_HOOK] ?? [])
      guard let family = $1.fixed(nfgenmsg.self)?.nfgen_family, let table = parts[NFTA_CHAIN_TABLE]?.text,
        let name = parts[NFTA_CHAIN_NAME]?.text, table != own, parts[NFTA_CHAIN_TYPE]?.text == "filter",
        let word = Barrier.families[Int32(family)], hook[NFTA_HOOK_HOOKNUM]?.number == NF_INET_LOCAL_IN.rawValue
      else { return }
      $0.append(
        Barrier(
          family: Int32(family), word: word, table: table, chain: name,
          drops: parts[NFTA_CHAIN_POLICY]?.number == UInt32(NF_DROP)))
    }
    var result: [String] = []
    for chain in found {
      let rules = try rules(ofTable: chain.table, family: chain.family)
      if rules.contains(where: { Barrier.asksForSockets($0.expressions) }) { continue }
      let last = rules.last { $0.chain == chain.chain }?.expressions
      if chain.drops || last.map(Barrier.endsAll) == true {
        result.append("\(chain.word) \(chain.table) \(chain.chain)")
      }
    }
    return result
  }

  private mutating func rules(
    ofTable table: String, family: Int32
  ) throws(ResponderError) -> [(chain: String, expressions: ArraySlice<UInt8>)] {
    do throws(ResponderError) {
      return try read(NFT_MSG_GETRULE, dump: true, family: family, table, { $0.put(NFTA_RULE_TABLE, string: table) }) {
        let parts = $1.attributes(after: MemoryLayout<nfgenmsg>.size)
        guard parts[NFTA_RULE_TABLE]?.text == table else { return }
        $0.append((parts[NFTA_RULE_CHAIN]?.text ?? "", parts[NFTA_RULE_EXPRESSIONS] ?? []))
      }
    } catch .missing {
      return []
    } catch {
      throw error
    }
  }
}

private struct Barrier {
  let family: Int32
  let word: String
  let table: String
  let chain: String
  let drops: Bool

  static let families: [Int32: String] = [
    Int32(NFPROTO_IPV4): "ip", Int32(NFPROTO_IPV6): "ip6", Int32(NFPROTO_INET): "inet",
  ]

  /// nft's expression, or the match of that name (`NFTA_MATCH_NAME`, 1) by which iptables asks.
  static func asksForSockets(_ expressions: ArraySlice<UInt8>) -> Bool {
    NetlinkReply.attributeList(in: expressions).contains { _, element in
      let parts = NetlinkReply.attributes(in: element)
      let data = NetlinkReply.attributes(in: parts[NFTA_EXPR_DATA] ?? [])
      return parts[NFTA_EXPR_NAME]?.text == "socket"
        || parts[NFTA_EXPR_NAME]?.text == "match" && data[1]?.text == "socket"
    }
  }

  /// Whether a rule asks nothing and drops or rejects.
  static func endsAll(_ expressions: ArraySlice<UInt8>) -> Bool {
    let list = NetlinkReply.attributeList(in: expressions).map(\.payload)
    guard let last = list.last else { return false }
    let isPlain = list.dropLast().allSatisfy { ["counter", "log"].contains(RuleExpression(decoding: $0).name) }
    let isEnd =
      switch RuleExpression(decoding: last) {
      case .verdict(let code): code == UInt32(NF_DROP)
      case .foreign(let name): name == "reject"
      default: false
      }
    return isPlain && isEnd
  }
}
