import Testing
import Wire

@testable import Page

@Suite struct SessionsTests {
  let start = Timestamp(seconds: 1_793_577_600)

  @Test func `Only the token is the token`() {
    let sessions = Sessions(token: "0123456789abcdef")
    #expect(sessions.accepts("0123456789abcdef"))
    for wrong in ["", "0123456789abcdeg", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF"] {
      #expect(!sessions.accepts(wrong))
    }
    #expect(!Sessions(token: "").accepts(""))
  }

  @Test func `A session lasts half a day`() {
    var sessions = Sessions(token: "t")
    let name = sessions.open(bits: ((1, 2), (3, 4)), now: start)
    #expect(name == "00000000000000010000000000000002")
    #expect(sessions.session(name, now: start)?.formKey == "00000000000000030000000000000004")
    #expect(sessions.session(name, now: start + .seconds(12 * 3600 - 1)) != nil)
    #expect(sessions.session(name, now: start + .seconds(12 * 3600)) == nil)
    #expect(sessions.session("other", now: start) == nil)
    #expect(sessions.session(nil, now: start) == nil)
    sessions.close(name)
    #expect(sessions.session(name, now: start) == nil)
  }

  @Test func `Of too many the oldest makes room`() {
    var sessions = Sessions(token: "t")
    var names: [String] = []
    for number in 0..<UInt64(Sessions.capacity + 3) {
      names.append(sessions.open(bits: ((number, 0), (number, 1)), now: start + .seconds(Int64(number))))
    }
    #expect(sessions.count == Sessions.capacity)
    let later = start + .seconds(100)
    #expect(names.prefix(3).allSatisfy { sessions.session($0, now: later) == nil })
    #expect(names.dropFirst(3).allSatisfy { sessions.session($0, now: later) != nil })
  }
}
