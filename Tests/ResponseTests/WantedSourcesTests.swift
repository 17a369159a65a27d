import Testing
import Wire

@testable import Response

@Suite("Sources whose proof is all that is missing")
struct WantedSourcesTests {
  private func address(_ number: Int) -> IPAddress { IPAddress(v4: UInt32(0x0b00_0000 + number)) }

  @Test("For one more than there is room the one that came first goes")
  func full() {
    var wanted = WantedSources(capacity: 3)
    for number in 1...3 { wanted.insert(address(number), at: Int64(number)) }
    wanted.insert(address(4), at: 4)
    #expect(wanted.count == 3)
    #expect(!wanted.contains(address(1)))
    #expect((2...4).allSatisfy { wanted.contains(address($0)) })
  }

  @Test("Whoever is wanted again has his time renewed and takes no further place")
  func again() {
    var wanted = WantedSources(capacity: 3)
    wanted.insert(address(1), at: 0)
    wanted.insert(address(2), at: 0)
    wanted.insert(address(1), at: 100)
    #expect(wanted.count == 2)
    #expect(wanted.takeOlder(than: 50, at: 120) == [address(2)])
    #expect(wanted.contains(address(1)))
  }

  @Test("Whoever was released and is wanted anew stays while there is room")
  func released() {
    var wanted = WantedSources(capacity: 2)
    wanted.insert(address(1), at: 0)
    wanted.remove(address(1))
    #expect(wanted.isEmpty)
    wanted.insert(address(1), at: 1)
    wanted.insert(address(2), at: 2)
    #expect(wanted.contains(address(1)))
    #expect(wanted.contains(address(2)))
  }

  @Test("A flood of sources, released or not, takes no more places than said")
  func flood() {
    var wanted = WantedSources(capacity: 64)
    for number in 0..<20_000 {
      wanted.insert(address(number % 5_000), at: Int64(number))
      if number % 3 == 0 { wanted.remove(address(number % 5_000)) }
      #expect(wanted.count <= 64 && wanted.places <= 2 * 64 + 1024)
    }
    #expect(wanted.contains(address(19_999 % 5_000)))
  }
}
