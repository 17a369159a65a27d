import CLinux
import Confinement
import Platform
import TestSupport
import Testing

@testable import Daemon

/// What a client of the network has when it begins. Each trial is a process of its own; the script's exit status is the verdict.
@Suite(.enabled(if: Landlock.version != nil && SystemCalls.isAvailable)) struct ConfinedClientTests {
  @Test func `It reads certificates and names, and nothing of ours; it writes nothing and has no capability`() async {
    await #expect(processExitsWith: .exitCode(0)) {
      // Whether others could read it does not matter: it is not among what a client is given.
      let secret = "/tmp/portsentry-client-\(getpid())"
      try Files.replace(secret, with: [1], mode: 0o644)
      let script = """
        cat /etc/hosts > /dev/null || exit 2
        cat \(secret) 2> /dev/null && exit 3
        cat /etc/shadow 2> /dev/null && exit 4
        (echo x > \(secret).new) 2> /dev/null && exit 5
        rm -f \(secret) 2> /dev/null && exit 6
        while read -r key value; do
          case "$key $value" in
            "CapEff: 0000000000000000") capabilities=none ;;
            "NoNewPrivs: 1") privileges=none ;;
            "Seccomp: 2") calls=some ;;
          esac
        done < /proc/$$/status
        [ "$capabilities" = none ] || exit 7
        [ "$privileges" = none ] || exit 8
        [ "$calls" = some ] || exit 9
        exit 0
        """
      _ = ConfinedClient.become(["/bin/sh", "-c", script])
      exit(10)
    }
    shell("rm -f /tmp/portsentry-client-*")
  }

  @Test func `Without a program there is none`() {
    #expect(ConfinedClient.become([]).code == EINVAL)
  }
}
