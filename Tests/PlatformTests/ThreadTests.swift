import Foundation
import Platform
import Synchronization
import Testing

@Suite struct ThreadTests {
  @Test func `A joined thread has run its body under its name`() throws {
    let seen = Mutex("")
    let thread = try Platform.Thread.start(name: "a-name-longer-than-15") {
      let name = try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8)
      seen.withLock { $0 = name ?? "unreadable" }
    }
    thread.join()
    #expect(seen.withLock { $0 } == "a-name-longer-t\n")
  }

  @Test func `A flag raised twice is up once`() throws {
    let flag = try EventFlag()
    let before = flag.clear()
    flag.signal()
    flag.signal()
    var watched = pollfd(fd: flag.fd, events: Int16(POLLIN), revents: 0)
    let ready = unsafe poll(&watched, 1, 0)
    let (first, second) = (flag.clear(), flag.clear())
    #expect(!before)
    #expect(ready == 1)
    #expect(first)
    #expect(!second)
  }
}
