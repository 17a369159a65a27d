import Capture
import Daemon
import Detection
import Wire

/// A whole capture through the detector of `replay`, and what it finds.
func fuzzReplay(_ bytes: [UInt8]) {
  guard var file = try? CaptureFile(bytes: bytes) else { return }
  var settings = Detector.Settings()
  settings.nativeTCP = PortSet(ranges: [0...65_535])
  settings.nativeUDP = PortSet(ranges: [0...65_535])
  settings.judgesOtherProtocols = true
  settings.believesAnswered = true
  settings.sourceCapacity = 1024
  settings.flowCapacity = 64
  var exposure = Exposure()
  exposure.setLocal([IPNetwork("10.0.0.0/8")!, IPNetwork("2001:db8::/32")!])
  var replay = Replay(settings, exposure: exposure, ignored: IPNetworkSet(), key: (1, 2))
  var consumed = 0
  while var run = file.nextRun(after: consumed) {
    replay.observe(&run)
    consumed = run.consumed
  }
  replay.finish()
  for finding in replay.findings(suspects: true) {
    precondition(finding.verdict.first <= finding.verdict.last)
    precondition(finding.verdict.evidence.count <= Verdict.evidenceCapacity)
  }
  replay.checkInvariants()
}

/// What a detector knew, as a file that anything may have happened to. The checksum is put right, so that more than it is tried.
func fuzzMemory(_ bytes: [UInt8]) {
  var settings = Detector.Settings()
  settings.sourceCapacity = 1024
  for memory in [bytes, Detector.sealed(bytes)] {
    var detector = Detector(settings, key: (3, 4))
    guard (try? detector.restore(memory)) != nil else { continue }
    detector.checkInvariants()
    var again = Detector(settings, key: (5, 6))
    let kept = detector.memory(sources: 1024)
    precondition((try? again.restore(kept)) != nil)
  }
}
