import Detection
import Wire

/// One change to what is in force, which may fail.
package enum Attempt: Sendable {
  case step(Step, Job)
  /// A whole prefix, beside its members.
  case prefix(Block, repeats: Int)
  /// A ban of the fleet: a new one, or another end of the one there is.
  case fleet(Block)
  /// A block of a trial that gets its whole time; those that are still to be, and how many have it.
  case longer(Block, rest: ArraySlice<Block>, done: Int)

  /// One step of a response, in the order of compat c.
  package enum Step: Sendable, Equatable {
    case hostsDeny
    case killRoute
    case nftables
    case route
    case runCommand
  }

  /// What is to be in force.
  package var block: Block {
    switch self {
    case .step(_, let job): job.block
    case .prefix(let block, _), .fleet(let block), .longer(let block, _, _): block
    }
  }
}

/// A response under way: its steps, and what came of them so far.
package struct Job: Sendable {
  package let probe: Probe
  package let block: Block
  /// How often the source had been blocked before.
  package let repeats: Int
  package let action: BlockAction
  /// An operator ordered it; no scan is behind it.
  package let isOrder: Bool
  package internal(set) var steps: [Attempt.Step]
  /// Ways that took effect.
  var succeeded: [BlockMethod] = []
  /// What went wrong, for the answer to an operator.
  var failures: [String] = []
  /// Probes of the same source that came meanwhile, at most `mostHeld`.
  var held: [Probe] = []
  static let mostHeld = 256

  init(probe: Probe, block: Block, repeats: Int = 0, action: BlockAction, isOrder: Bool, steps: [Attempt.Step]) {
    self.probe = probe
    self.block = block
    self.repeats = repeats
    self.action = action
    self.isOrder = isOrder
    self.steps = steps
  }
}

/// What came of an attempt.
package enum Effect: Sendable, Equatable {
  case took(BlockedBy)
  /// A block has its whole time.
  case lasts
  /// hosts.deny has the line already.
  case alreadyInHostsDeny
  /// A command was started; its end is an event.
  case running
  /// A template has no `$TARGET$`: the key.
  case noTarget(in: String)
  case hostsDenyFailed(path: String, reason: String)
  /// The command cannot be meant for IPv6.
  case unfit(command: String, because: String)
  case failed(String)
}

/// Puts into force what was decided, and lifts it: the kernel's one, and one that a test looks at. No policy.
package protocol Enforcer: ~Copyable {
  mutating func attempt(_ attempt: Attempt, at now: Timestamp) -> Effect
  /// Lifts blocks in every way they are in force. What is written down of one is enough: only making one has to be proven.
  mutating func lift(_ records: [Block.Record]) -> Lifted
}

/// What came of lifting blocks.
package struct Lifted: Sendable {
  /// Why the sets could not be changed, and how many hosts that leaves in them.
  package var setsFailed: (reason: String, count: Int)?
  /// What stands in the way of each; as many as there were records.
  package var problems: [[String]]

  package init(setsFailed: (reason: String, count: Int)? = nil, problems: [[String]]) {
    self.setsFailed = setsFailed
    self.problems = problems
  }
}
