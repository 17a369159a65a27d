import Detection
import Response
import TestSupport
import Testing
import Wire

@Suite struct SuspectsTests {
  private let syn = Grounds.Accusation.touch(.syn, .tcp, port: 594, trigger: 1)
  private func proof(_ seconds: Int64) -> Grounds.ProofOfOrigin {
    Grounds.ProofOfOrigin(.decoy, port: 594, at: time(seconds))
  }
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

  @Test(
    arguments: [
      // Ports connected to, whether it works with a service, and whether it is a native verdict: banned?
      ([594], false, true, true), ([594], true, true, false), ([594, 594, 594], true, true, false),
      ([594, 595], true, true, false),
      ([594, 595, 596], true, true, true), ([594, 595, 596, 597], true, true, true), ([594], true, false, true),
    ] as [([UInt16], Bool, Bool, Bool)])
  func `What may be forged shuts nobody out who works here and strays once`(
    ports: [UInt16], isUser: Bool, isNative: Bool, isBanned: Bool
  ) {
    var suspects = Suspects()
    let accusation =
      isNative ? Grounds.Accusation.verdict(.vertical, Tool(.unknown), [], score: 4_680, threshold: 4_595) : syn
    // Forged while he is away.
    _ = suspects.accuse(network("192.0.2.9"), accusation, isServed: false, at: time(0), demanding: .handshake)
    var last = Suspects.Outcome.noVerdict
    for (index, port) in ports.enumerated() {
      last =
        suspects.prove(
          source, Grounds.ProofOfOrigin(.decoy, port: port, at: time(Int64(10 + index))), isServed: isUser,
          demanding: .handshake
        ).1
    }
    guard case .ban = last else {
      #expect(!isBanned && last == .spared)
      // Who has gone is no user, and what was done counts.
      #expect(suspects.outcome(for: source, at: time(20), demanding: .handshake) != .spared)
      return
    }
    #expect(isBanned)
  }

  @Test func `Contacts of an hour ago do not count`() {
    var suspects = Suspects()
    let verdict = Grounds.Accusation.verdict(.vertical, Tool(.unknown), [], score: 4_680, threshold: 4_595)
    for (port, second) in [(594, 0), (595, 1), (596, 5_000)] as [(UInt16, Int64)] {
      _ = suspects.accuse(network("192.0.2.9"), verdict, isServed: true, at: time(second), demanding: .handshake)
      let outcome = suspects.prove(
        source, Grounds.ProofOfOrigin(.decoy, port: port, at: time(second)), isServed: true, demanding: .handshake
      ).1
      #expect(outcome == .spared)
    }
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
    #expect(accuse(&others, "2001:db8::/64", at: 1) == .ban(member, Grounds(syn, proof(0))))
  }

  @Test(arguments: [
    ("198.51.100.0/24", "198.51.100.", "198.51.101.7"), ("2001:db8::/56", "2001:db8:0:", "2001:db8:0:100::7"),
    ("2001:db8::/48", "2001:db8:0:1", "2001:db8:1::7"),
  ])
  func `Among neighbours a distributed scan needs four who have proven themselves`(
    _ prefix: String, _ member: String, _ stranger: String
  ) {
    let members = (1...5).map {
      IPAddress(prefix.utf8.contains(UInt8(ascii: ":")) ? "\(member)\($0)::1" : "\(member)\($0)")!
    }
    for provenFirst in 0...5 {
      var suspects = Suspects()
      var banned = 0
      for (number, address) in members.enumerated() {
        if number == provenFirst { banned += accuse(&suspects, prefix) == .unproven ? 0 : 1 }
        let outcome = suspects.prove(address, proof(1), isServed: false, demanding: .handshake).1
        if number + 1 < 4 || number < provenFirst {
          #expect(outcome == .noVerdict, "\(number) of \(prefix), accused after \(provenFirst)")
        } else {
          #expect(
            outcome == .ban(address, Grounds(syn, proof(1))), "\(number) of \(prefix), accused after \(provenFirst)")
        }
      }
      if provenFirst == 5 { #expect(accuse(&suspects, prefix, at: 1) != .unproven) }
      #expect(suspects.provenMembers(of: network(prefix), near: time(1)) == members)
      #expect(banned == (provenFirst == 4 ? 1 : 0))
      // Nobody outside, nobody unproven, nobody an hour later.
      #expect(suspects.prove(IPAddress(stranger)!, proof(1), isServed: false, demanding: .handshake).1 == .noVerdict)
      #expect(suspects.outcome(for: members[0], at: time(10_000), demanding: .handshake) == .noVerdict)
      #expect(suspects.provenMembers(of: network(prefix), near: time(10_000)).isEmpty)
    }
  }

  @Test func `Nobody is judged by a prefix that says nothing`() {
    var suspects = Suspects()
    for number in 1...9 {
      _ = suspects.prove(IPAddress("192.0.2.\(number)")!, proof(0), isServed: false, demanding: .handshake)
    }
    for prefix in ["0.0.0.0/0", "192.0.0.0/8", "192.0.2.0/25", "192.0.2.0/23"] {
      #expect(accuse(&suspects, prefix) == .unproven)
      #expect(suspects.outcome(for: source, at: time(0), demanding: .handshake) == .noVerdict)
    }
  }

  @Test func `Who was served when he came to notice is remembered so, and who is served later is not`() {
    var suspects = Suspects()
    _ = suspects.accuse(network("192.0.2.9"), syn, isServed: true, at: time(0), demanding: .handshake)
    _ = accuse(&suspects, "192.0.2.10")
    _ = suspects.accuse(network("192.0.2.10"), syn, isServed: true, at: time(1), demanding: .handshake)
    #expect(suspects.entry(for: source)?.wasServed == true)
    #expect(suspects.entry(for: IPAddress("192.0.2.10")!)?.wasServed == false)
  }

  @Test(arguments: [(1, false), (2, true)] as [(Int64, Bool)])
  func `One wrong port does not make a scanner of whoever works here since`(_ seconds: Int64, _ isSpared: Bool) {
    var suspects = Suspects()
    _ = suspects.prove(source, proof(0), isServed: false, demanding: .handshake)
    _ = suspects.accuse(network("192.0.2.9"), syn, isServed: true, at: time(seconds), demanding: .handshake)
    #expect(suspects.entry(for: source)?.wasServed == isSpared)
    _ = suspects.accuse(network("192.0.2.9"), syn, isServed: true, at: time(seconds + 9), demanding: .handshake)
    #expect(suspects.entry(for: source)?.wasServed == isSpared, "with a verdict nothing changes any more")
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
