import Testing

@testable import Daemon

@Suite struct LoginTicketsTests {
  @Test func `A ticket lets in once, and not for long`() {
    var tickets = LoginTickets()
    func redeem(_ ticket: String, now: Int64) -> Bool { tickets.redeem(ticket, now: now) }
    let first = tickets.issue(bits: (1, 2), now: 0)
    #expect(first == "00000000000000010000000000000002")
    #expect(!redeem("00000000000000010000000000000003", now: 1) && !redeem("", now: 1))
    #expect(redeem(first, now: 1))
    #expect(!redeem(first, now: 1))
    let second = tickets.issue(bits: (3, 4), now: 10)
    #expect(!redeem(second, now: 10 + LoginTickets.lifetime))
    let third = tickets.issue(bits: (5, 6), now: 10)
    #expect(redeem(third, now: 9 + LoginTickets.lifetime))
  }

  @Test func `Of too many the oldest is void`() {
    var tickets = LoginTickets()
    func redeem(_ ticket: String, now: Int64) -> Bool { tickets.redeem(ticket, now: now) }
    let all = (0...LoginTickets.capacity).map { tickets.issue(bits: (7, UInt64($0)), now: Int64($0)) }
    #expect(!redeem(all[0], now: 20))
    for ticket in all.dropFirst() { #expect(redeem(ticket, now: 20)) }
  }

  @Test func `The door's words`() {
    let ticket = "0123456789abcdef0123456789abcdef"
    for message in [LoginMessage.ticket, .redeem(ticket)] {
      #expect(LoginMessage(line: Array(message.line.utf8)) == message)
      #expect(ControlMessage(line: Array(message.line.utf8)) == nil)
    }
    for line in [
      "", "login\t", "redeem", "redeem\t", "redeem\t\(ticket)0", "redeem\t\(ticket.uppercased())",
      "redeem\t\(ticket)\t",
    ] {
      #expect(LoginMessage(line: Array(line.utf8)) == nil)
    }
  }
}
