import Platform
import Response
import Wire

/// The administrator's commands under way, and what each is for. As bounded as `CommandRunner`.
struct Commands: ~Copyable {
  enum Owner: Equatable {
    /// A step of a source's response.
    case job(IPAddress)
    case release(IPNetwork)
    case restore(IPNetwork)
  }

  private var runner = CommandRunner()
  private var owners: [UInt64: Owner] = [:]
  private var next: UInt64 = 1

  /// Starts a command, or lets it wait for a place.
  ///
  /// - Parameter now: monotonic.
  /// - Returns: false when too many wait.
  mutating func submit(_ command: String, for owner: Owner, timeout: Duration, at now: Int64) -> Bool {
    guard runner.submit(id: next, command: command, timeout: timeout, now: UInt64(now)) else { return false }
    owners[next] = owner
    next += 1
    return true
  }

  /// What has ended, each once.
  mutating func advance(at now: Int64) -> [(owner: Owner, result: CommandRunner.Result)] {
    guard !runner.isIdle else { return [] }
    return runner.advance(now: UInt64(now)).compactMap { result in
      owners.removeValue(forKey: result.id).map { ($0, result) }
    }
  }

  var pollDescriptors: [Int32] { runner.pollDescriptors }
  var nextDeadline: Int64? { runner.nextDeadline.map { Int64(clamping: $0) } }

  /// Gives what is running its grace, and leaves it behind.
  mutating func stop(at now: Int64) { runner.stop(now: UInt64(now)) }
}
