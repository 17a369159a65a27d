import CLinux
import Confinement
import TestSupport
import Testing

@testable import Daemon

@Suite struct HealthTests {
  @Test func `Each process has a line, remarks and what the kernel lacks follow`() throws {
    var sentry = try ProcessState.read(getpid())
    (sentry.pid, sentry.effectiveUser, sentry.noNewPrivileges, sentry.systemCallFilter) = (812, 64_999, true, 2)
    sentry.capabilities = [.netRaw, .netAdmin]
    var page = sentry
    (page.pid, page.capabilities, page.systemCallFilter) = (8_123, [], 0)
    let health = Health(
      lines: [
        Health.Line(role: "sentry", state: sentry, landlock: true),
        Health.Line(role: "page", state: page, landlock: false, remarks: ["has no user of its own: so it is"]),
      ], missing: ["Landlock (of 5.13)"])
    #expect(
      health.text == """
        PROCESS  PID   USER   CALLS     FILES     PRIVILEGES  CAPABILITIES
        sentry   812   64999  filtered  Landlock  none new    CAP_NET_ADMIN CAP_NET_RAW
        page     8123  64999  all       all       none new    none
        page: has no user of its own: so it is
        This kernel does not offer Landlock (of 5.13).

        """)
    #expect(health.json.text.contains("CAP_NET_RAW"))
  }
}
