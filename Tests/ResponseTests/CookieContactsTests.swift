import Response
import TestSupport
import Testing
import Wire

@Suite("Connections that rest on a SYN cookie")
struct CookieContactsTests {
  private let a = network("192.0.2.1").address
  private func at(_ seconds: Int64) -> Timestamp { Timestamp(nanoseconds: 1_000_000_000_000 + seconds * 1_000_000_000) }

  /// What each of these connections proves, in turn: source port, port, second.
  private func proofs(_ contacts: inout CookieContacts, _ source: IPAddress, _ seen: [(UInt16, UInt16, Int64)])
    -> [Bool]
  {
    seen.map { contacts.proves(source, from: $0.0, to: $0.1, at: at($0.2)) }
  }

  @Test("one may have been guessed; another within the hour has not")
  func two() {
    var contacts = CookieContacts()
    // The same ACK again is no second guess, and somebody else's is none at all.
    let others = proofs(&contacts, network("192.0.2.2").address, [(1000, 80, 0)])
    #expect(others == [false])
    let mine = proofs(&contacts, a, [(1000, 80, 0), (1000, 80, 1), (1001, 80, 2), (1000, 81, 3600)])
    #expect(mine == [false, false, true, true])
    // An hour later it begins anew.
    let later = proofs(&contacts, a, [(1002, 80, 3601), (1003, 80, 3602)])
    #expect(later == [false, true])
  }

  @Test("of more than 4,096 the oldest is forgotten")
  func bound() {
    var contacts = CookieContacts()
    func source(_ number: Int) -> IPAddress { IPAddress(v4: 0xc612_0000 + UInt32(number)) }
    for number in 0..<CookieContacts.capacity + 100 {
      let isProof = contacts.proves(source(number), from: 1, to: 2, at: at(0))
      #expect(!isProof)
    }
    #expect(contacts.count == CookieContacts.capacity)
    let (forgotten, kept) = (
      proofs(&contacts, source(50), [(3, 2, 1)]), proofs(&contacts, source(CookieContacts.capacity), [(3, 2, 1)])
    )
    #expect(forgotten == [false] && kept == [true])
    #expect(contacts.count == CookieContacts.capacity)
  }
}
