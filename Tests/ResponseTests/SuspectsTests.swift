import Detection
import Response
import TestSupport
import Testing
import Wire

@Suite struct SuspectsTests {
  private let syn = Grounds.Accusation.touch(.syn, .tcp, port: 594, trigger: 1)
  private func proof(_ seconds: Int64) -> Grounds.Origin { Grounds.Origin(.decoy, port: 594, at: time(seconds)) }
  private let source = IPAddress("192.0.2.9")!

  private func accuse(_ suspects: inout Suspects, _ source: String = "192.0.2.9", at seconds: Int64 = 0)
    -> Suspects.Outcome
  {
    suspects.accuse(network(source), syn, isServed: false, at: time(seconds), demanding: .handshake)
  }

  @Test func `Neither a verdict nor a proof alone makes a block`() {
    var suspects = Suspects()
    #expect(accuse(&suspects) == .unproven)
    var others = Suspects()
    #expect(others.prove(source, proof(0), isServed: false, demanding: .handshake).1 == .noVerdict)
    #expect(others.outcome(for: IPAddress("192.0.2.10")!, at: time(0), demanding: .handshake) == .noVerdict)
  }

  @Test func `Both together do, whichever comes first`() {
    var suspects = Suspects()
    _ = accuse(&suspects)
    #expect(
      suspects.prove(source, proof(5), isServed: false, demanding: .handshake).1
        == .ban(source, Grounds(syn, proof(5))))
    var others = Suspects()
    _ = others.prove(source, proof(0), isServed: false, demanding: .handshake)
    #expect(accuse(&others, at: 5) == .ban(source, Grounds(syn, proof(0))))
  }

  @Test func `Where nothing has to be proven a verdict is enough`() {
    var suspects = Suspects()
    #expect(
      suspects.accuse(network("192.0.2.9"), syn, isServed: false, at: time(0), demanding: .none)
        == .ban(source, Grounds(syn, nil)))
  }

  @Test(arguments: [(3600, true), (3601, false), (-3600, true), (-3601, false)] as [(Int64, Bool)])
  func `Verdict and proof belong together within an hour`(_ seconds: Int64, _ together: Bool) {
    var suspects = Suspects()
    _ = accuse(&suspects, at: 10_000)
    let outcome = suspects.prove(source, proof(10_000 + seconds), isServed: false, demanding: .handshake).1
    #expect((outcome == .ban(source, Grounds(syn, proof(10_000 + seconds)))) == together)
  }

  @Test func `A proof is news once an hour`() {
    var suspects = Suspects()
    func isNews(_ seconds: Int64) -> Bool {
      suspects.prove(source, proof(seconds), isServed: false, demanding: .handshake).isNews
    }
    #expect(isNews(0))
    #expect(!isNews(1))
    #expect(!isNews(3_600))
    #expect(isNews(7_300))
  }

  @Test func `A verdict about a prefix holds for its proven members, and for no one else`() {
    var suspects = Suspects()
    let member = IPAddress("2001:db8::7")!
    #expect(accuse(&suspects, "2001:db8::/64") == .unproven)
    #expect(
      suspects.prove(member, proof(1), isServed: false, demanding: .handshake).1 == .ban(member, Grounds(syn, proof(1)))
    )
    #expect(
      suspects.prove(IPAddress("2001:db8:0:1::7")!, proof(1), isServed: false, demanding: .handshake).1 == .noVerdict)
    var others = Suspects()
    _ = others.prove(member, proof(0), isServed: false, demanding: .handshake)
    #expect(accuse(&others, "2001:db8:0:1::/64", at: 1) == .unproven)
    #expect(accuse(&others, "2001:db8::/56", at: 1) == .ban(member, Grounds(syn, proof(0))))
  }

  @Test func `Who was served when he came to notice is remembered so, and who is served later is not`() {
    var suspects = Suspects()
    _ = suspects.accuse(network("192.0.2.9"), syn, isServed: true, at: time(0), demanding: .handshake)
    _ = accuse(&suspects, "192.0.2.10")
    _ = suspects.accuse(network("192.0.2.10"), syn, isServed: true, at: time(1), demanding: .handshake)
    #expect(suspects.entry(for: source)?.wasServed == true)
    #expect(suspects.entry(for: IPAddress("192.0.2.10")!)?.wasServed == false)
  }

  @Test func `When it is full unproven sources go first, and those with verdict and proof last`() {
    var suspects = Suspects(capacity: 100)
    func address(_ number: Int) -> IPAddress { IPAddress(v4: 0xc633_6400 + UInt32(number)) }
    // 30 with both, 30 proven, then a flood.
    for number in 0..<30 {
      _ = suspects.accuse(IPNetwork(address(number)), syn, isServed: false, at: time(0), demanding: .handshake)
      _ = suspects.prove(address(number), proof(0), isServed: false, demanding: .handshake)
    }
    for number in 30..<60 { _ = suspects.prove(address(number), proof(0), isServed: false, demanding: .handshake) }
    for number in 1_000..<50_000 {
      _ = suspects.accuse(IPNetwork(address(number)), syn, isServed: false, at: time(1), demanding: .handshake)
      #expect(suspects.count <= 100)
    }
    #expect(suspects.proven == 60)
    #expect(suspects.evictions == 49_000 - 40)
    #expect((49_960..<50_000).allSatisfy { suspects.entry(for: address($0)) != nil })
    // More proofs push out the flood, then the oldest that have only proof; both together stay.
    for number in 60_000..<60_100 {
      _ = suspects.prove(address(number), proof(2), isServed: false, demanding: .handshake)
    }
    #expect(suspects.count == 100)
    #expect((0..<30).allSatisfy { suspects.entry(for: address($0))?.accusation != nil })
    #expect((30..<60).allSatisfy { suspects.entry(for: address($0)) == nil })
  }

  @Test func `Sources that change rank again and again leave no trace`() {
    var suspects = Suspects(capacity: 10)
    for number in 0..<100_000 {
      let address = IPAddress(v4: 0xc633_6400 + UInt32(number % 20))
      _ = suspects.accuse(IPNetwork(address), syn, isServed: false, at: time(0), demanding: .handshake)
      _ = suspects.prove(address, proof(0), isServed: false, demanding: .handshake)
    }
    #expect(suspects.count == 10)
    #expect(suspects.places < 20_000)
  }
}
