import Enforcement
import EventLog
import Platform
import Response

extension EnforcerSettings {
  /// What the enforcer reads is what the sentry has read.
  init(_ plan: Plan, _ options: RunOptions) {
    self.init(
      path: plan.configurationPath, dialect: options.dialect, preferred: options.isClassicCall ? .classic : nil)
  }
}

/// What the enforcer says by itself.
extension Sentry {
  func advanceEnforcer() {
    for news in blocker.enforcer.takeNews() {
      switch news {
      case .touched: deadlines.tableTouched(at: Clock.monotonic)
      case .ended(let why):
        say(
          "the enforcer has ended (\(why)) and is started anew: until then nobody is blocked or let in; watching goes on",
          isError: true)
      case .startedAnew: equipEnforcer()
      case .gone(let why):
        say(
          "NOBODY IS BLOCKED ANY MORE: the enforcer has ended: \(why). Blocks in force stay; watching goes on. Start the sentry anew",
          isError: true)
      }
    }
    for fault in blocker.enforcer.takeFaults() { say("enforcer: \(fault)", isError: true) }
  }

  /// Tells one that takes another's place what that one knew.
  private func equipEnforcer() {
    deception.trap = nil
    if plan.trap(options) == nil { try? blocker.setTrap(nil) } else { refreshTrap() }
    if comparison.hasStarted {
      blocker.watchTable()
      reconcile()
    }
    say("an enforcer is there again")
  }
}
