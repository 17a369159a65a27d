import Fleet
import Foundation
import Testing
import TestSupport
import Wire

@testable import Daemon

@Suite struct FleetDeskTests {
  private static let second: Int64 = 1_000_000_000
  private let source = IPAddress("45.67.0.1")!

  private func sighting(_ source: IPAddress, _ kind: Testimony.Kind = .contact) -> FleetDesk.Sighting {
    FleetDesk.Sighting(kind: kind, source: source, time: Timestamp(seconds: 1_000), port: 23)
  }

  @Test func `Whoever says nothing is told of after a moment`() {
    var desk = FleetDesk()
    desk.see(sighting(source), at: 0)
    #expect(desk.due == FleetDesk.patience)
    #expect(desk.take(at: FleetDesk.patience - 1) == [])
    #expect(desk.take(at: FleetDesk.patience) == [sighting(source)])
    #expect(desk.due == nil)
    #expect(desk.take(at: Self.second) == [])
  }

  @Test func `Whoever speaks as a browser is told of to nobody, and the others are`() {
    var desk = FleetDesk()
    let other = IPAddress("45.67.0.2")!
    desk.see(sighting(source), at: 0)
    desk.see(sighting(other), at: 1)
    desk.dismiss(source)
    #expect(desk.take(at: Self.second) == [sighting(other)])
    #expect(desk.browsers == 1)
    desk.see(sighting(source), at: Self.second)
    desk.dismissAll()
    #expect(desk.take(at: 3 * Self.second) == [] && desk.browsers == 2)
  }

  @Test func `A verdict takes the place of a contact, and does not wait anew`() {
    var desk = FleetDesk()
    desk.see(sighting(source), at: 0)
    desk.see(sighting(source, .verdict), at: 100)
    desk.see(sighting(source), at: 200)
    #expect(desk.take(at: FleetDesk.patience) == [sighting(source, .verdict)])
  }

  @Test func `What was said can be taken back, and nothing else`() {
    var desk = FleetDesk()
    #expect(desk.retract(source, at: Timestamp(seconds: 2_000)) == nil)
    desk.see(sighting(source), at: 0)
    #expect(desk.retract(source, at: Timestamp(seconds: 2_000)) == nil)
    #expect(desk.take(at: Self.second) == [])
    desk.see(sighting(source), at: Self.second)
    _ = desk.take(at: 2 * Self.second)
    #expect(desk.retract(source, at: Timestamp(seconds: 2_000))?.kind == .retraction)
    #expect(desk.retract(source, at: Timestamp(seconds: 2_000)) == nil)
  }

  @Test func `Whoever leaves without a word is told of at once`() {
    var desk = FleetDesk()
    let other = IPAddress("45.67.0.2")!
    desk.see(sighting(other), at: 0)
    desk.see(sighting(source), at: 1)
    desk.left(source)
    desk.left(IPAddress("45.67.0.3")!)
    #expect(desk.take(at: 2) == [sighting(source)] && !desk.isEmpty)
    #expect(desk.take(at: FleetDesk.patience) == [sighting(other)] && desk.isEmpty)
  }

  @Test func `Of one source the same is said once in ten minutes, unless it is more or was taken back`() {
    var desk = FleetDesk()
    func see(_ second: Int64, _ kind: Testimony.Kind = .contact) -> Int {
      let seen = FleetDesk.Sighting(kind: kind, source: source, time: Timestamp(seconds: 1_000 + second), port: 23)
      desk.see(seen, at: second * Self.second)
      return desk.take(at: second * Self.second + FleetDesk.patience).count
    }
    #expect(see(0) == 1 && see(1) == 0 && see(599) == 0)
    #expect(see(599, .verdict) == 1 && see(600) == 0 && see(601, .verdict) == 0)
    #expect(see(1_200) == 1)
    desk.forget(within: IPNetwork("45.67.0.0/16")!)
    #expect(see(1_201) == 1)
  }

  @Test func `What anybody can have sent is told of seldom, and never instead of a connection`() {
    var desk = FleetDesk()
    func glimpse(_ number: UInt32, _ now: Int64) {
      desk.glimpse(
        FleetDesk.Sighting(
          kind: .probe, source: IPAddress(v4: 0x2d43_0000 + number),
          time: Timestamp(seconds: 1_000 + now / Self.second),
          port: 23), at: now)
    }
    glimpse(1, 0)
    let connected = IPAddress(v4: 0x2d43_0001)
    desk.see(sighting(connected), at: 10)
    #expect(desk.take(at: Self.second).map(\.kind) == [.contact])
    glimpse(2, Self.second)
    #expect(desk.due == Self.second + FleetDesk.patience)
    #expect(desk.take(at: 2 * Self.second).map(\.kind) == [.probe])
    // Once an hour, and of those that come at once so many.
    glimpse(2, 3 * Self.second)
    #expect(desk.take(at: 4 * Self.second).isEmpty)
    for number in 100..<1_000 as Range<UInt32> { glimpse(number, 5 * Self.second) }
    #expect(desk.take(at: 6 * Self.second).count == 31 && desk.glimpsesLost == 900 - 31)
    for number in 2_000..<2_010 as Range<UInt32> { glimpse(number, 26 * Self.second) }
    #expect(desk.take(at: 27 * Self.second).count == 2)
    // They take no room from those who have proven themselves.
    #expect(desk.lost == 0)
  }

  @Test func `Who waits is on disk`() throws {
    try inFolder { folder in
      var pending = FleetPending(folder: folder)
      #expect(pending.load() == [])
      let six = FleetDesk.Sighting(
        kind: .verdict, source: IPAddress("2001:db8::7")!, time: Timestamp(nanoseconds: 1_234_567_890_123_456_789),
        port: 65_535)
      pending.add(sighting(source))
      pending.add(six)
      var again = FleetPending(folder: folder)
      #expect(again.load() == [sighting(source), six])
      again.clear()
      #expect(FleetPending(folder: folder).size == 0)
      var empty = FleetPending(folder: folder)
      #expect(empty.load() == [])
      // What was cut, or is nobody's, is none.
      let bytes = FleetPending.encode(six)
      try Data(bytes + bytes.dropLast() + [0]).write(to: URL(fileURLWithPath: folder + "/pending"))
      #expect(empty.load() == [six])
      try Data(bytes.dropLast(2)).write(to: URL(fileURLWithPath: folder + "/pending"))
      #expect(empty.load() == [])
    }
  }

  @Test func `It holds what it says`() {
    var desk = FleetDesk()
    for number in 0..<UInt32(FleetDesk.capacity + 10) { desk.see(sighting(IPAddress(v4: 0x2d43_0000 + number)), at: 0) }
    #expect(desk.lost == 10)
    #expect(desk.take(at: Self.second).count == FleetDesk.capacity)
  }
}

@Suite struct BrowserWordTests {
  private func isBrowsers(_ text: String) -> Bool { BrowserWord.isBrowsers(Array(text.utf8)[...]) }

  @Test func `Requests of browsers`() {
    let firefox = """
      GET / HTTP/1.1\r\nHost: 192.0.2.1:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 \
      Firefox/128.0\r\nAccept: */*\r\nAccept-Language: en-US,en;q=0.5\r\n\r\n
      """
    #expect(isBrowsers(firefox))
    // A path so long that the rest comes later.
    #expect(isBrowsers("GET /" + String(repeating: "a", count: 1_400)))
    #expect(isBrowsers("GET /x HTTP/1.1\r\nhost: a\r\nsec-fetch-mode: no-cors\r\n\r\n"))
    #expect(isBrowsers("GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"))
    // WebRTC asks a relay: Allocate, by itself and framed.
    #expect(BrowserWord.isBrowsers([0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2]))
    #expect(BrowserWord.isBrowsers([0, 28, 0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42]))
  }

  @Test func `What scanners say`() {
    for text in [
      "", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
      "GET / HTTP/1.1\r\nUser-Agent: Mozilla/5.0 zgrab/0.x\r\nAccept: */*\r\n\r\n", "SSH-2.0-Go\r\n", "\r\n\r\n",
      "HELP\r\n", "sec-fetch-mode",
    ] { #expect(!isBrowsers(text), "\(text)") }
  }

  /// A ClientHello: ciphers, then extensions as they stand.
  private func hello(ciphers: [UInt8], extensions: [UInt8]) -> [UInt8] {
    let body: [UInt8] =
      [3, 3] + [UInt8](repeating: 7, count: 32) + [0] + [0, UInt8(ciphers.count)] + ciphers + [1, 0]
      + [0, UInt8(extensions.count)] + extensions
    let handshake: [UInt8] = [1, 0, 0, UInt8(body.count)] + body
    return [0x16, 3, 1, 0, UInt8(handshake.count)] + handshake
  }

  @Test func `ClientHellos`() {
    let plain: [UInt8] = [0x13, 0x01, 0xc0, 0x2f]
    #expect(!BrowserWord.isBrowsers(hello(ciphers: plain, extensions: [0, 10, 0, 2, 0, 0])[...]))
    // GREASE in front.
    #expect(BrowserWord.isBrowsers(hello(ciphers: [0x4a, 0x4a] + plain, extensions: [])[...]))
    // ALPN with h2.
    #expect(
      BrowserWord.isBrowsers(hello(ciphers: plain, extensions: [0, 16, 0, 5, 0, 3, 2, 0x68, 0x32])[...]))
    var long = hello(ciphers: plain, extensions: [])
    (long[3], long[4]) = (6, 200)
    #expect(BrowserWord.isBrowsers(long[...]))
    // Whatever is cut or changed is read without a fault.
    for count in 0..<long.count { _ = BrowserWord.isBrowsers(long[..<count]) }
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      var bytes = hello(ciphers: plain, extensions: [0, 10, 0, 2, 0, 0])
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      _ = BrowserWord.isBrowsers(bytes[...])
    }
  }
}

@Suite struct FleetOutboxTests {
  private let now = Timestamp(seconds: 1_700_000_000)

  @Test func `What was added is there after a crash, and what was cut is not`() throws {
    try inFolder { folder in
      var outbox = FleetOutbox(folder: folder, now: now)
      for number in 0..<10 {
        let position = outbox.place(at: now, above: nil)
        try outbox.add(FleetOutbox.Entry(position: position, record: [UInt8(number), 7]), now: now)
      }
      #expect(outbox.entries.map(\.position.sequence) == Array(0..<10))
      var again = FleetOutbox(folder: folder, now: now)
      #expect(again.entries == outbox.entries)
      // The next place is above all that were given.
      #expect(again.place(at: now, above: nil) > outbox.entries.last!.position)
      let bytes = try Data(contentsOf: URL(fileURLWithPath: folder + "/outbox"))
      try bytes.dropLast(1).write(to: URL(fileURLWithPath: folder + "/outbox"))
      #expect(FleetOutbox(folder: folder, now: now).entries == Array(outbox.entries.dropLast()))
      #expect(FleetOutbox(folder: folder, now: now + .seconds(90_000)).entries.isEmpty)
    }
  }

  @Test func `Places only grow, whatever the clock and the engine say`() {
    var outbox = FleetOutbox(folder: nil, now: now)
    var last = StreamPosition.start
    for step in [0, 5, -3_600, 1, 0, 0, 7_200] {
      let place = outbox.place(at: now + .seconds(step), above: nil)
      #expect(place > last)
      last = place
    }
    let ahead = StreamPosition(last.milliseconds + 1_000, 3)
    #expect(outbox.place(at: now, above: ahead) > ahead)
    // The largest place there is would end the stream.
    let end = StreamPosition(.max, .max)
    #expect(outbox.place(at: now, above: end) < end)
  }

  @Test func `Only what the engine lacks is sent`() throws {
    var outbox = FleetOutbox(folder: nil, now: now)
    for number in 0..<5 {
      try outbox.add(
        FleetOutbox.Entry(position: outbox.place(at: now, above: nil), record: [UInt8(number)]), now: now)
    }
    #expect(outbox.entries(above: nil).count == 5)
    #expect(outbox.entries(above: outbox.entries[1].position).map(\.record) == [[2], [3], [4]])
    #expect(outbox.entries(above: outbox.last).isEmpty)
  }
}
