import Platform
import Testing

@testable import Daemon

@Suite struct TextTests {
  @Test(
    "Lengths of time",
    arguments: [
      (-5, "0s"), (0, "0s"), (59, "59s"), (60, "1m"), (61, "1m 1s"), (599, "9m 59s"), (600, "10m"), (601, "10m"),
      (3599, "59m"),
      (3600, "1h"), (3659, "1h"), (3660, "1h 1m"), (86_399, "23h 59m"), (86_400, "1d"), (90_000, "1d 1h"),
      (8_640_000, "100d"),
    ])
  func terms(seconds: Int, text: String) {
    #expect(Term.text(.seconds(seconds)) == text)
  }

  @Test func jsonText() {
    let value: JSON = .object([
      "a": 1, "b": "x", "c": true, "d": .null, "e": .array([1, "y", .array([])]), "f": .object([:]),
      "a\"": JSON(UInt64.max),
      "g": JSON(-7), "h": JSON(String?.none),
    ])
    #expect(
      value.text
        == #"{"a":1,"b":"x","c":true,"d":null,"e":[1,"y",[]],"f":{},"a\"":9223372036854775807,"g":-7,"h":null}"#)
  }

  @Test(
    "Strings escaped",
    arguments: [
      ("", #""""#), ("a/b", #""a/b""#), ("\"\\", #""\"\\""#), ("\n\r\t", #""\n\r\t""#),
      ("\u{0}\u{1b}\u{7f}", #""\u0000\u001b\u007f""#),
      ("\u{9b}2J", #""\u009b2J""#), ("é\u{1F600}", "\"é\u{1F600}\""), ("\r\n", #""\r\n""#),
    ])
  func strings(text: String, json: String) {
    #expect(JSON.string(text).text == json)
  }
}
