import EventLog
import Platform
import Response
import Wire

/// `--trial`: blocks are made for its length only, so that they end even when nobody is left to lift them, and nothing is
/// blocked after it, unless somebody who can still get in says so.
struct Trial {
  let end: Timestamp
  let duration: Duration
  private(set) var isOver = false

  init(duration: Duration, now: Timestamp) {
    self.duration = duration
    end = now + duration
  }

  /// Whether it has ended just now.
  mutating func endsNow(_ now: Timestamp) -> Bool {
    guard !isOver, now >= end else { return false }
    isOver = true
    return true
  }
}

extension Sentry {
  func announceTrial() {
    guard let trial else { return }
    note(
      "TRIAL: every block made from now on is lifted in \(Term.text(trial.duration)), and none is made after, unless you say: portsentry confirm"
    )
  }

  /// Stops blocking when the time is up.
  func endTrial() {
    guard trial?.endsNow(Clock.now) == true else { return }
    refreshGate()
    let made = table.unordered.filter { $0.record.since >= started && !$0.record.isByHand }
    release(Array(made), .trialOver)
    note(
      "TRIAL OVER: nobody confirmed it. \(made.count) blocks were lifted, and nothing is blocked any more; what is seen is still logged. To block again, start anew, or say: portsentry confirm",
      isError: true)
  }

  /// `portsentry confirm`.
  func confirmTrial() -> ControlReply {
    guard let trial else { return ControlReply(exitCode: 1, "there is no trial to confirm\n") }
    self.trial = nil
    refreshGate()
    let now = Clock.now
    var kept = 0
    for block in table.all where block.until == trial.end && block.record.since >= started {
      let repeats = max(offenders.repeats(of: block.network, at: now) - 1, 0)
      let whole = policy.prolong(block, repeats: repeats)
      do throws(ResponderError) {
        if whole.methods.contains(.nftables) { try blocker.addToTable([(whole.network, whole.remaining(at: now))]) }
        table.insert(whole)
        store.add(whole)
        kept += 1
      } catch {
        note("\(block.network) stays blocked only until the trial would have ended: \(error)", isError: true)
      }
    }
    note("The trial was confirmed: \(kept) blocks stay in force, and blocking goes on")
    return ControlReply("confirmed: \(kept) blocks stay in force, and blocking goes on\n")
  }
}
