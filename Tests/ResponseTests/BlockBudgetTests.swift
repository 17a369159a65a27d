import Detection
import Response
import TestSupport
import Testing
import Wire

@Suite struct BlockBudgetTests {
  private static func source(_ number: Int, _ base: String, step: Int, isProven: Bool = true) -> BlockBudget.Source {
    let first = IPAddress(base)!
    let address =
      first.isV4
      ? IPAddress(v4: UInt32(truncatingIfNeeded: first.low) &+ UInt32(number) << UInt32(32 - step))
      : step > 64
        ? IPAddress(high: first.high, low: first.low &+ UInt64(number) << UInt64(128 - step))
        : IPAddress(high: first.high &+ UInt64(number) << UInt64(64 - step), low: first.low)
    return BlockBudget.Source(IPNetwork(address), isProven: isProven)
  }

  /// How many of a crowd are blocked of a limit of 1,000.
  private static func fill(
    _ budget: inout BlockBudget, _ base: String, step: Int, isProven: Bool = true, limit: Int = 1000
  ) -> Int {
    var taken = 0
    for number in 0..<1500 {
      let source = source(number, base, step: step, isProven: isProven)
      guard (try? budget.check(source, limit: limit)) != nil else { continue }
      budget.insert(source)
      taken += 1
    }
    return taken
  }

  /// Who comes in what crowd, and how many of them are blocked at most.
  @Test(arguments: [
    ("one IPv6 each /32", "2001:db8::1", 32, true, 875), ("one each /48", "2001:db8::1", 48, true, 250),
    ("one each /64 of a /48", "2001:db8::1", 64, true, 62), ("in one /64", "2001:db8::1", 128, true, 62),
    ("IPv6 without proof", "2001:db8::1", 32, false, 500), ("IPv4 without proof", "10.0.0.1", 16, false, 750),
    ("IPv4, one each /16", "10.0.0.1", 16, true, 937), ("IPv4, in one /16", "10.0.0.1", 32, true, 250),
  ])
  func `No crowd uses up a limit`(_ who: String, _ base: String, _ step: Int, _ isProven: Bool, _ most: Int) throws {
    var budget = BlockBudget()
    #expect(Self.fill(&budget, base, step: step, isProven: isProven) == most, "\(who)")
    #expect(budget.count == most)
    // Whatever it was: an operator comes through, and but for IPv4 with proof the next scanner of IPv4 does.
    #expect(throws: Never.self) { try budget.check(.order, limit: 1000) }
    let next = BlockBudget.Source(IPNetwork("198.51.100.7")!, isProven: true)
    if most < 937 { #expect(throws: Never.self) { try budget.check(next, limit: 1000) } }
  }

  @Test func `Every crowd together leaves something to the operator`() {
    var budget = BlockBudget()
    #expect(Self.fill(&budget, "2001:db8::1", step: 32, isProven: false) == 500)
    #expect(Self.fill(&budget, "10.0.0.1", step: 16, isProven: false) == 250)
    #expect(Self.fill(&budget, "3001:db8::1", step: 32) == 125)
    #expect(Self.fill(&budget, "100.0.0.1", step: 16) == 62)
    #expect(throws: BlockBudget.Exhausted(limit: 937, share: "scanners; the rest is for orders of operators")) {
      try budget.check(BlockBudget.Source(IPNetwork("203.0.113.7")!, isProven: true), limit: 1000)
    }
    for _ in 0..<63 {
      #expect(throws: Never.self) { try budget.check(.order, limit: 1000) }
      budget.insert(.order)
    }
    #expect(throws: BlockBudget.Exhausted(limit: 1000, share: nil)) { try budget.check(.order, limit: 1000) }
  }

  @Test(arguments: [1, 3, 15])
  func `A small limit is not shared out`(_ limit: Int) {
    var budget = BlockBudget()
    #expect(Self.fill(&budget, "2001:db8::1", step: 128, isProven: false, limit: limit) == limit)
    #expect(throws: BlockBudget.Exhausted(limit: limit, share: nil)) { try budget.check(.order, limit: limit) }
  }

  @Test func `What is removed makes room, whatever was there`() {
    var random = SeededGenerator(seed: 11)
    var budget = BlockBudget()
    var held: [BlockBudget.Source] = []
    for number in 0..<20_000 {
      if Bool.random(using: &random), let index = held.indices.randomElement(using: &random) {
        budget.remove(held.swapRemove(at: index))
      } else {
        let source = Self.source(
          number, number % 2 == 0 ? "2001:db8::1" : "10.0.0.1", step: 32, isProven: number % 3 > 0)
        guard (try? budget.check(source, limit: 64)) != nil else { continue }
        budget.insert(source)
        held.append(source)
      }
      #expect(budget.count == held.count && budget.count <= 60)
    }
    for source in held { budget.remove(source) }
    #expect(budget.count == 0)
    #expect(Self.fill(&budget, "2001:db8::1", step: 32, limit: 64) == 56, "nothing is left behind")
  }

  @Test func `A minute of a flood of IPv6 keeps nobody else from being blocked`() {
    var rate = BlockRate()
    func isTaken(_ source: BlockBudget.Source, _ second: Int64) -> Bool {
      (try? rate.spend(source, limit: 1000, at: time(second))) != nil
    }
    // 1,400 sources in four seconds, one a /48.
    let made = (0..<1400).count { isTaken(Self.source($0, "2001:db8::1", step: 48), Int64($0 / 350)) }
    #expect(made == 250)
    #expect(isTaken(BlockBudget.Source(IPNetwork("198.51.100.7")!, isProven: true), 4))
    #expect(isTaken(BlockBudget.Source(IPNetwork("3001::7")!, isProven: true), 4), "another /32")
    #expect(!isTaken(Self.source(1400, "2001:db8::1", step: 48), 59))
    #expect(isTaken(Self.source(1400, "2001:db8::1", step: 48), 61))
  }
}

extension Array {
  fileprivate mutating func swapRemove(at index: Int) -> Element {
    swapAt(index, count - 1)
    return removeLast()
  }
}
