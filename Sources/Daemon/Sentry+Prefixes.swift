import Detection
import EventLog
import Platform
import Response
import Wire

/// Blocks of whole IPv6 prefixes: when one is made, what speaks against it, and when it is undone.
extension Sentry {
  /// Blocks the prefix beside its members, where there are enough and nobody honest is known in it.
  func widen(_ newest: Block) {
    guard trial == nil,
      let prefix = aggregation.prefix(for: newest.network, widest: policy.settings.widestPrefix)
    else { return }
    let members = aggregation.members(of: prefix).compactMap { table[$0] }.sorted { $0.record.since < $1.record.since }
    let now = Clock.now
    let repeats = offenders.repeats(of: prefix, at: now)
    let widened: Block?
    do throws(ResponsePolicy.Refusal) {
      widened = try policy.widen(
        to: prefix, members: members, user: honestUser(in: prefix, at: now), repeats: repeats, now: now)
    } catch {
      noteNotWidened(prefix, members.count, error)
      return
    }
    guard let block = widened else { return }
    do throws(ResponderError) {
      if block.methods.contains(.nftables) { try blocker.addToTable([(prefix, block.remaining(at: now))]) }
      if block.methods.contains(.route) { try blocker.addRoute(prefix, .blackhole) }
    } catch {
      note("\(prefix) could not be blocked as a whole: \(error); its members are", isError: true)
      return
    }
    say(
      .blocked(
        prefix,
        by: block.methods.contains(.nftables)
          ? .nftables(set: "inet portsentry banned6net", block.until.map { $0 - now })
          : .blackholeRoute(block.until.map { $0 - now }), in: dialect))
    counters.blocks += 1
    inForce(block, repeats: repeats)
  }

  /// Once a minute for each prefix.
  private func noteNotWidened(_ prefix: IPNetwork, _ members: Int, _ refusal: ResponsePolicy.Refusal) {
    guard isNews(of: prefix.address) else { return }
    note("\(prefix) is not blocked as a whole, but \(members) addresses in it are: \(refusal)")
  }

  /// Somebody of a prefix who uses a service at this moment or used one within a day, and is no proven scanner.
  private func honestUser(in prefix: IPNetwork, at now: Timestamp) -> IPAddress? {
    servedPeers.filter { prefix.contains($0) && isHonest($0) }.min()
      ?? aggregation.users.user(in: prefix, at: now, where: isHonest)
  }

  private func isHonest(_ address: IPAddress) -> Bool {
    table[IPNetwork(address)] == nil && jobs[address] == nil && !suspects.isProvenScanner(address)
  }

  /// Takes note of whoever used a service properly, and undoes the blocks of the prefixes they are in.
  func takeCustomers() {
    let customers = link.takeCustomers()
    let now = Clock.now
    for address in customers where isHonest(address) { noteHonest(address, .memberHonest(address), at: now) }
  }

  /// Undoes the blocks of prefixes above an address. Its other members stay blocked one by one.
  ///
  /// - Returns: what was undone.
  @discardableResult
  func noteHonest(_ address: IPAddress, _ reason: ReleaseReason, at now: Timestamp) -> [IPNetwork] {
    if address.isV4 { return [] }
    aggregation.users.note(address, at: now)
    let blocks = aggregation.blocked(above: address).compactMap { table[$0] }
    if !blocks.isEmpty { release(blocks, reason) }
    return blocks.map(\.network)
  }

  /// What of our own making is blocked within a prefix.
  func members(of network: IPNetwork) -> [Block] {
    aggregation.members(of: network).compactMap { table[$0] }
  }

  /// After a reload: prefixes wider than `BLOCK_PREFIX_IPV6` allows are opened.
  func releaseTooWide() {
    let blocks = table.unordered.filter { policy.isTooWide($0.record) }
    if !blocks.isEmpty { release(Array(blocks), .tooWide) }
  }
}
