import Fleet
import Signing
import TestSupport
import Testing
import Wire

@Suite struct RecordTests {
  let stage = FleetStage(nodes: 5, zones: 2)
  let now = FleetStage.begin

  /// One of each kind, as bytes, with what reads it.
  private var records: [(name: String, bytes: [UInt8], read: @Sendable ([UInt8]) throws -> [UInt8])] {
    let testimony = stage.testimony(by: 3, of: stranger(1), at: now)
    let network = IPNetwork("203.0.113.0/24")!
    let proof = Proof((1...3).map { stage.testimony(by: $0, of: stranger(9), at: now) })!
    let manifest = Snapshot.Manifest(
      epoch: 5, generation: 6, position: StreamPosition(7, 8), proofs: 9,
      parts: [Snapshot.Manifest.Part(length: 10, digest: PlainVerifier().digest([1]))])
    return [
      ("testimony", testimony.encoded, { try Testimony($0).encoded }),
      ("heartbeat", stage.testimony(.alive, by: 2, of: .unspecified, at: now).encoded, { try Testimony($0).encoded }),
      (
        "certificate", stage.certificate(3, addresses: [network, IPNetwork("2001:db8::1")!]).encoded,
        { try Certificate($0).encoded }
      ),
      ("ban", stage.order(.ban, network, at: now, until: now + .seconds(60)).encoded, { try Order($0).encoded }),
      ("unban", stage.order(.unban, network, at: now).encoded, { try Order($0).encoded }),
      ("allow", stage.order(.allow, IPNetwork("2001:db8::/32")!, at: now).encoded, { try Order($0).encoded }),
      ("revoke", stage.order(.revoke, at: now, node: 4).encoded, { try Order($0).encoded }),
      ("proof", proof.encoded, { try Proof($0).encoded }),
      (
        "announcement", Announcement(proof, at: StreamPosition(5, 6), after: StreamPosition(3, 4)).encoded,
        { try Announcement($0).encoded }
      ),
      ("manifest", manifest.encoded, { try Snapshot.Manifest($0).encoded }),
      (
        "chunk", Snapshot.Chunk(generation: 6, index: 0, proofs: [proof, proof]).encoded,
        { try Snapshot.Chunk($0).encoded }
      ),
    ]
  }

  @Test func eachIsReadAsItWasWritten() throws {
    for (name, bytes, read) in records { #expect(try read(bytes) == bytes, "\(name)") }
  }

  @Test func ofHalfARecordNothingIsTaken() {
    for (name, bytes, read) in records {
      for count in 0..<bytes.count where name != "chunk" {
        #expect(throws: MalformedRecord.self, "\(name), \(count)") { try read(Array(bytes.prefix(count))) }
      }
      #expect(throws: MalformedRecord.self, "\(name), one more") { try read(bytes + [0]) }
    }
  }

  /// Whatever byte is changed: no record, or another one, which is written as it was read.
  @Test func eachValueHasOneEncoding() throws {
    var random = SeededGenerator(seed: 3)
    for (name, bytes, read) in records {
      for _ in 0..<400 {
        var changed = bytes
        changed[Int.random(in: 0..<changed.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        if let again = try? read(changed) { #expect(again == changed, "\(name)") }
      }
    }
  }

  @Test func sizesAreAsTheDocumentationSays() {
    let sizes = Dictionary(uniqueKeysWithValues: records.map { ($0.name, $0.bytes.count) })
    #expect(sizes["testimony"] == 115)
    #expect(sizes["proof"] == 347)
    #expect(sizes["announcement"] == 380)
    #expect(sizes["unban"] == 108)
  }

  /// The layout is an interface between programs of different age: to the byte.
  @Test func aTestimonyByHand() throws {
    var body = Testimony.Body(.verdict, by: 0x0102_0304, of: IPAddress("203.0.113.7")!, at: Timestamp(seconds: 1))
    body.first = 5
    body.last = 6
    body.distinctPorts = 7
    body.tool = 8
    body.technique = 9
    body.ports = SIMD4(22, 23, 80, 0)
    let expected: [UInt8] =
      [1, 2, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40]
      + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7, 128]
      + [0, 0, 0, 5, 0, 0, 0, 6, 0, 7, 8, 9, 0, 22, 0, 23, 0, 80, 0, 0]
    #expect(body.encoded == expected)
  }

  // MARK: Real signatures

  @Test func whatIsSignedHoldsForOneFleetOneKindAndOneKey() throws {
    let verifier = OpenSSLVerifier()
    let fleetKey = try #require(SigningKey(seed: [UInt8](repeating: 1, count: 32)))
    let nodeKey = try #require(SigningKey(seed: [UInt8](repeating: 2, count: 32)))
    let fleet = FleetID(fleetKey.publicKey)
    let testimony = Testimony(Testimony.Body(.contact, by: 3, of: stranger(1), at: now), in: fleet, signedBy: nodeKey)
    #expect(testimony.isSigned(by: nodeKey.publicKey, in: fleet, verifier))
    #expect(!testimony.isSigned(by: fleetKey.publicKey, in: fleet, verifier))
    #expect(!testimony.isSigned(by: nodeKey.publicKey, in: FleetID(nodeKey.publicKey), verifier))
    // The same bytes under another tag.
    let order = Order(Order.Body(.unban, by: 3, at: now, network: IPNetwork(stranger(1))), in: fleet, signedBy: nodeKey)
    #expect(order.isSigned(by: nodeKey.publicKey, in: fleet, verifier))
    #expect(!Order(order.body, testimony.signature).isSigned(by: nodeKey.publicKey, in: fleet, verifier))
    // Each byte counts.
    let bytes = testimony.encoded
    for index in bytes.indices {
      var changed = bytes
      changed[index] ^= 1
      guard let other = try? Testimony(changed) else { continue }
      #expect(!other.isSigned(by: nodeKey.publicKey, in: fleet, verifier), "byte \(index)")
    }
  }

  /// RFC 8032, section 7.1, test 3.
  @Test func ed25519IsThatOfTheStandard() throws {
    func bytes(_ hex: String) -> [UInt8] {
      let digits = Array(hex)
      return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16)! }
    }
    let key = try #require(
      SigningKey(seed: bytes("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")))
    #expect(key.publicKey.array == bytes("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"))
    let signature = bytes(
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    #expect(key.sign([0xaf, 0x82]).array == signature)
    #expect(OpenSSLVerifier().isValid(Signature(signature)!, of: [0xaf, 0x82], by: key.publicKey))
    // SHA-256 of "abc", FIPS 180-2.
    let digest = OpenSSLVerifier().digest(Array("abc".utf8)).array
    #expect(digest == bytes("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
  }

  /// Keys of small order, with which a signature holds for many messages, are nobody's.
  @Test func aKeyOfZerosSignsNothing() {
    #expect(
      !OpenSSLVerifier().isValid(Signature(SIMD64()), of: [1, 2, 3], by: PublicKey(SIMD32())))
    #expect(SigningKey(seed: [1]) == nil)
    #expect(SigningKey.newSeed() != SigningKey.newSeed())
  }

  @Test(arguments: ["0-0", "5-0", "1690000000000-12", "18446744073709551615-18446744073709551615"])
  func positionsAreRedis(_ text: String) { #expect(StreamPosition(text)?.description == text) }

  @Test(arguments: ["", "-", "5", "5-", "-5", "+1-0", "1-+0", "1-2-3", "18446744073709551616-0", "a-b"])
  func otherPositionsAreNone(_ text: String) { #expect(StreamPosition(text) == nil) }

  @Test func ordersThatNobodyMayGive() {
    let wide = IPNetwork("10.0.0.0/8")!
    #expect(Order.Body(.ban, by: 1, at: now, network: wide, until: now + .seconds(9)).problem != nil)
    #expect(
      Order.Body(.ban, by: 1, at: now, network: IPNetwork("2001:db8::/31")!, until: now + .seconds(9)).problem != nil)
    #expect(Order.Body(.ban, by: 1, at: now, network: IPNetwork(stranger(1)), until: now).problem != nil)
    #expect(Order.Body(.unban, by: 1, at: now, network: wide).problem == nil)
    #expect(Order.Body(.unban, by: 1, at: now, network: wide, reason: "\u{1b}[31m").problem != nil)
    #expect(Order.Body(.unban, by: 1, at: now, network: wide, node: 3).problem != nil)
    #expect(Order.Body(.revoke, by: 1, at: now, network: wide, node: 3).problem != nil)
    #expect(Order.Body(.revoke, by: 1, at: now, node: 3).problem == nil)
  }
}
