import Memory
import Wire

/// A capture, by the first 54 bytes of each frame.
extension Detector {
  /// Goes on in a run to the first frame that may tell something: nearly all packets of nearly all captures are from the middle
  /// of a connection. The same comes of those by the long way (`observe`), which asks more questions.
  ///
  /// - Returns: false at the end of the run.
  package mutating func skim(_ run: inout FrameRun) -> Bool {
    guard run.isPlainEthernet, settings.checksServices, let us = landscape.onlyV4?.bigEndian
    else { return run.next() }
    // A copy, whose parts stay in registers.
    var here = run
    var isFound = false
    // In the file's own form, which is compared sooner than turned.
    var due = here.stamp(at: self.due)
    while here.nextRecord() {
      if here.stamp >= due {
        settleDue(here.time)
        due = here.stamp(at: self.due)
      }
      if let head = here.head, passes(head, us) { continue }
      if follows(here, us) {
        due = here.stamp(at: self.due)
        continue
      }
      isFound = true
      break
    }
    run = here
    return isFound
  }

  /// The middle of a connection.
  @inline(__always)
  mutating func passes(_ head: FrameHead, _ us: UInt32) -> Bool {
    guard head.isWithinConnection else { return false }
    if head.rawSource == us {
      guard head.rawTarget != us else { return false }
      if !landscape.servesTCPv4(head.sourcePort) {
        // Remembered now and then: see `noteOutgoing`.
        guard settings.ephemeralPorts.contains(head.sourcePort), head.mixedNumbers & 7 != 0 else { return false }
      }
      dismissals[Int(Dismissal.outgoing.rawValue)] &+= 1
      return true
    }
    // The end of a connection tells whether a word was said.
    guard head.rawTarget == us, !head.isFinal else { return false }
    let isServed = landscape.servesTCPv4(head.targetPort)
    guard isServed || settings.ephemeralPorts.contains(head.targetPort) else { return false }
    // A bare ACK may complete a handshake.
    let end = 0xffff_0000_0000 | UInt64(head.source)
    if !isServed {
      guard !ends.mayAsk(end, head.sourcePort) else { return false }
    } else if head.payloadLength <= 0 {
      guard !ends.mayComplete(end, head.sourcePort) else { return false }
    }
    dismissals[Int((isServed ? Dismissal.served : .straggler).rawValue)] &+= 1
    return true
  }

  /// The beginning or the end of a connection to a service, with nothing unusual about it.
  @inline(never)
  mutating func follows(_ run: FrameRun, _ us: UInt32) -> Bool {
    guard let head = run.head, head.isTCP, head.payloadLength >= 0, head.hasRightChecksum else { return false }
    let time = run.time
    let flags = head.flags
    if head.rawSource == us {
      guard flags == .synAck, head.rawTarget != us, landscape.servesTCPv4(head.sourcePort) else { return false }
      noteOurAnswer(Segment(head, time))
      dismissals[Int(Dismissal.outgoing.rawValue)] &+= 1
      return true
    }
    guard head.rawTarget == us, landscape.servesTCPv4(head.targetPort) else { return false }
    if flags == .syn {
      guard head.optionsLength > ToolMark.fewOptions, head.doesNotFragment, !settings.traps.contains(head.targetPort)
      else { return false }
      let segment = Segment(head, time)
      noteService(segment.targetPort, time)
      noteFlood(.syn, segment.point)
      connections.begin(segment.key(flowHash), segment, &ends)
    } else {
      guard flags.isSuperset(of: .ack), flags.isDisjoint(with: [.syn, .rst]) else { return false }
      progress(Segment(head, time))
    }
    dismissals[Int(Dismissal.served.rawValue)] &+= 1
    return true
  }
}
