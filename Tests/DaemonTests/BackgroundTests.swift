import CLinux
import Platform
import TestSupport
import Testing

@testable import Daemon

/// The parent in the terminal, in a process of its own.
@Suite struct BackgroundTests {
  @Test func `The parent ends well once the child watches`() async {
    await #expect(processExitsWith: .exitCode(0)) {
      let child = try Background.detach()
      child.succeeded()
      // What becomes of the child is nobody's business any more.
      _exit(9)
    }
  }

  @Test func `The child's status is the parent's where it cannot watch`() async {
    await #expect(processExitsWith: .exitCode(77)) {
      _ = try Background.detach()
      _exit(77)
    }
  }

  @Test func `A child that is killed is a failure`() async {
    await #expect(processExitsWith: .exitCode(1)) {
      _ = try Background.detach()
      kill(getpid(), SIGKILL)
    }
  }

  @Test func `The child has left terminal and folder`() async {
    await #expect(processExitsWith: .exitCode(3)) {
      let session = getsid(0)
      _ = try Background.detach()
      var folder = [CChar](repeating: 0, count: 4_096)
      let isAtRoot = unsafe getcwd(&folder, folder.count) != nil && folder[0] == 0x2f && folder[1] == 0
      _exit(getsid(0) == getpid() && getsid(0) != session && isAtRoot ? 3 : 4)
    }
  }
}
