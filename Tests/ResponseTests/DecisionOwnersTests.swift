import Detection
@testable import Response
import Testing
import Wire

private let second: Int64 = 1_000_000_000
private let start = Timestamp(seconds: 1_700_000_000)

private func source(_ number: Int) -> IPAddress { IPAddress(v4: 0xcb00_0000 | UInt32(number)) }

private func probe(_ number: Int, from port: UInt16 = 40_000, to target: UInt16 = 23, _ technique: Technique = .syn)
  -> Probe
{
  Probe(
    time: start, source: source(number), sourcePort: port, target: .unspecified, targetPort: target, transport: .tcp,
    mode: .stealth, technique: technique)
}

@Suite struct LatelyTests {
  @Test func `What was said holds until its time is over, for each by itself`() {
    var lately = Lately()
    #expect(!lately.holds(source(1), at: 0))
    lately.note(source(1), for: 60 * second, at: 5)
    #expect(lately.holds(source(1), at: 5))
    #expect(lately.holds(source(1), at: 60 * second + 4))
    #expect(!lately.holds(source(1), at: 60 * second + 5))
    #expect(!lately.holds(source(2), at: 5))
  }

  @Test func `Beyond its room all are forgotten, once a second; whoever asks for room is not taken beyond it`() {
    var lately = Lately()
    for number in 0..<Lately.capacity { lately.note(source(number), for: second, at: 0) }
    lately.trim()
    #expect(lately.count == Lately.capacity)
    lately.noteIfRoom(source(99_999), for: second, at: 0)
    #expect(!lately.holds(source(99_999), at: 0))
    lately.note(source(99_999), for: second, at: 0)
    lately.trim()
    #expect(lately.count == 0)
  }
}

@Suite struct UnprovenTests {
  @Test func `Whoever has proven nothing is named after two seconds, once`() {
    var unproven = Unproven()
    unproven.wait(for: source(1), at: 0)
    #expect(unproven.contains(source(1)))
    #expect(unproven.take(at: Unproven.patience - 1).due == [])
    #expect(unproven.take(at: Unproven.patience) == Unproven.News(named: [source(1)], due: [source(1)], further: 0))
    #expect(unproven.take(at: 9 * second).due == [])
    unproven.wait(for: source(2), at: 0)
    unproven.remove(source(2))
    #expect(unproven.take(at: 9 * second).due == [])
  }

  @Test func `Of more than ten the number is said, with those that found no room`() {
    var unproven = Unproven()
    for number in 0..<25 { unproven.wait(for: source(number), at: 0) }
    let news = unproven.take(at: Unproven.patience)
    #expect(news.named.count == Unproven.mostNamed && news.due.count == 25 && news.further == 15)
    for number in 0..<(Unproven.capacity + 7) { unproven.wait(for: source(number), at: 0) }
    #expect(unproven.count == Unproven.capacity)
    #expect(unproven.take(at: Unproven.patience).further == Unproven.capacity + 7 - Unproven.mostNamed)
    #expect(unproven.take(at: 9 * second).further == 0)
  }
}

@Suite struct AnnouncementsTests {
  @Test func `What the decoy has told the sensor need not, once and for two seconds`() {
    var announcements = Announcements()
    announcements.announce(probe(1), at: 0)
    let isOther = announcements.isAnnounced(probe(1, from: 40_001), at: 1)
    #expect(!isOther)
    let isConnection = announcements.isAnnounced(probe(1, from: 40_000, to: 23, .connect), at: 1)
    #expect(!isConnection)
    var isKnown = announcements.isAnnounced(probe(1), at: 1)
    #expect(isKnown)
    isKnown = announcements.isAnnounced(probe(1), at: 1)
    #expect(!isKnown)
    announcements.announce(probe(2), at: 0)
    isKnown = announcements.isAnnounced(probe(2), at: Announcements.patience)
    #expect(!isKnown)
  }

  @Test func `What the sensor has told the decoy need not: the last sixteen of a source`() {
    var announcements = Announcements()
    for port in 1...17 as ClosedRange<UInt16> { announcements.tell(probe(1, to: port)) }
    #expect(!announcements.wasTold(probe(1, to: 1)))
    #expect(announcements.wasTold(probe(1, to: 2)) && announcements.wasTold(probe(1, to: 17)))
    #expect(!announcements.wasTold(probe(2, to: 2)))
    for number in 2...Announcements.toldCapacity { announcements.tell(probe(number)) }
    #expect(announcements.wasTold(probe(1, to: 17)))
    announcements.tell(probe(99_999))
    #expect(!announcements.wasTold(probe(1, to: 17)) && announcements.wasTold(probe(99_999)))
  }

  @Test func `When full, what is over makes room, and nothing else does`() {
    var announcements = Announcements()
    for number in 0..<Announcements.capacity { announcements.announce(probe(number), at: 0) }
    announcements.announce(probe(50_000), at: 1)
    var isKnown = announcements.isAnnounced(probe(50_000), at: 1)
    #expect(!isKnown)
    announcements.announce(probe(50_000), at: 3 * second)
    isKnown = announcements.isAnnounced(probe(50_000), at: 3 * second)
    #expect(isKnown && announcements.count == 0)
  }
}

@Suite struct RespondedTests {
  private func entry(_ number: Int) -> Responded.Entry {
    Responded.Entry(address: source(number), time: start, port: 23, transport: .tcp)
  }

  @Test func `1.2 keeps its protocols apart, 2.x does not`() {
    var responded = Responded()
    let isTaken = responded.insert(entry(1), as: Responded.Key(address: source(1), transport: .tcp))
    #expect(isTaken)
    #expect(responded.contains(Responded.Key(address: source(1), transport: .tcp)))
    #expect(!responded.contains(Responded.Key(address: source(1), transport: .udp)))
    #expect(!responded.contains(Responded.Key(address: source(1), transport: nil)))
  }

  @Test func `There is room for so many, and for one known already`() {
    var responded = Responded()
    for number in 0..<Responded.capacity {
      _ = responded.insert(entry(number), as: Responded.Key(address: source(number), transport: nil))
    }
    let isTaken = responded.insert(entry(200_000), as: Responded.Key(address: source(200_000), transport: nil))
    #expect(!isTaken && responded.count == Responded.capacity)
  }
}

@Suite struct TrialTests {
  @Test func `A trial ends once`() {
    var trial = Trial(duration: .seconds(60), now: start)
    var ends = trial.endsNow(start + .seconds(59))
    #expect(!ends && !trial.isOver)
    ends = trial.endsNow(start + .seconds(60))
    #expect(ends && trial.isOver)
    ends = trial.endsNow(start + .seconds(61))
    #expect(!ends && trial.isOver)
  }
}
