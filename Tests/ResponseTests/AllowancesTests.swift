import Response
import Testing
import Wire

@Suite struct AllowancesTests {
  private static func entry(_ network: String, until seconds: Int64? = nil) -> Allowances.Entry {
    Allowances.Entry(
      network: IPNetwork(network)!, since: Timestamp(seconds: 1), until: seconds.map { Timestamp(seconds: $0) })
  }

  /// `#expect` cannot change what it looks at.
  private static func doing<Value>(_ value: Value) -> Value { value }

  @Test func `An allowance holds until its end or until it is taken back`() {
    var allowances = Allowances()
    #expect(Self.doing(allowances.add(Self.entry("203.0.113.7", until: 100))))
    #expect(Self.doing(allowances.add(Self.entry("2001:db8::/32"))))
    #expect(Self.doing(allowances.add(Self.entry("198.51.100.0/24", until: 50))))
    #expect(allowances.networks.map { "\($0)" } == ["198.51.100.0/24", "203.0.113.7", "2001:db8::/32"])
    #expect(Self.doing(allowances.removeExpired(at: Timestamp(seconds: 49))) == [])
    #expect(
      Self.doing(allowances.removeExpired(at: Timestamp(seconds: 50))) == [Self.entry("198.51.100.0/24", until: 50)])
    #expect(Self.doing(allowances.remove(IPNetwork("203.0.113.0/24")!)) == nil)
    #expect(Self.doing(allowances.remove(IPNetwork("2001:db8::/32")!)) != nil)
    #expect(allowances.entries == [Self.entry("203.0.113.7", until: 100)])
  }

  @Test func `A second one of the same network replaces the first`() {
    var allowances = Allowances()
    #expect(Self.doing(allowances.add(Self.entry("203.0.113.7", until: 100))))
    #expect(Self.doing(allowances.add(Self.entry("203.0.113.7"))))
    #expect(allowances.entries == [Self.entry("203.0.113.7")])
  }

  @Test func `There is a largest number`() {
    var allowances = Allowances()
    for number in 0..<Allowances.most {
      #expect(Self.doing(allowances.add(Self.entry("10.0.\(number / 256).\(number % 256)"))))
    }
    #expect(!Self.doing(allowances.add(Self.entry("192.0.2.1"))))
    #expect(Self.doing(allowances.add(Self.entry("10.0.0.0", until: 5))))
    #expect(Allowances(parsing: Array(allowances.text.utf8), now: Timestamp(seconds: 1)) == allowances)
  }

  @Test func `What is written is read back`() {
    var allowances = Allowances()
    _ = allowances.add(Self.entry("203.0.113.7", until: 100))
    _ = allowances.add(Self.entry("2001:db8::/32"))
    #expect(
      allowances.text
        == "portsentry-allowed 1\n203.0.113.7\t1000000000\t100000000000\n2001:db8::/32\t1000000000\t-\n")
    #expect(Allowances(parsing: Array(allowances.text.utf8), now: Timestamp(seconds: 99)) == allowances)
    #expect(Allowances(parsing: Array(allowances.text.utf8), now: Timestamp(seconds: 100)).entries.count == 1)
  }

  @Test(arguments: [
    "", "\n", "portsentry-allowed 2\n203.0.113.7\t1\t-\n", "203.0.113.7\t1\t-\n",
    "portsentry-allowed 1\n203.0.113.7\t1\n",
    "portsentry-allowed 1\nx\t1\t-\n203.0.113.7\tx\t-\n203.0.113.7\t1\tx\n203.0.113.7\t1\t-\t\n\u{0}\n",
  ])
  func `Foreign text is no allowance`(_ text: String) {
    #expect(Allowances(parsing: Array(text.utf8), now: Timestamp(seconds: 0)) == Allowances())
  }
}
