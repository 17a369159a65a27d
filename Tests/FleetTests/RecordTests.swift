import Fleet
import Signing
import Testing
import Wire

@Suite struct RecordTests {
  @Test func aTestimonyIs115BytesAndProvesItself() throws {
    let key = try #require(SigningKey(seed: [UInt8](repeating: 7, count: 32)))
    let fleet = FleetID(key.publicKey)
    let testimony = Testimony(
      Testimony.Body(.contact, by: 3, of: IPAddress(v4: 0xcb00_7107), at: Timestamp(seconds: 1_800_000_000)),
      in: fleet, signedBy: key)
    let bytes = testimony.encoded
    #expect(bytes.count == Testimony.size)
    let read = try Testimony(bytes)
    #expect(read == testimony)
    #expect(read.isSigned(by: key.publicKey, in: fleet, OpenSSLVerifier()))
  }
}
