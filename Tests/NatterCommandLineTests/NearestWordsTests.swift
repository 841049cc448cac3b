@testable import NatterCommandLine
import Testing
import TestSupport

@Suite("nearest words")
struct NearestWordsTests {
    private let commands = ["register", "login", "logout", "log", "ls", "send", "search", "sync", "status", "users"]

    @Test(
        "typing errors are understood",
        arguments: [
            ("lgo", ["log"]), ("serch", ["search"]), ("regsiter", ["register"]), ("user", ["users"]),
            ("stat", ["status"]),
            ("LOG", ["log"]), ("sned", ["send"]), ("sank", []), ("zzz", []), ("", []), ("log", ["log"]),
            ("logi", ["login", "log"]),
        ])
    func found(word: String, expected: [String]) {
        #expect(NearestWords.nearest(to: word, among: commands) == expected)
    }

    @Test("the dashes of an option are no letters of it")
    func dashes() {
        #expect(NearestWords.nearest(to: "--port", among: ["--host", "--retain"]).isEmpty)
        #expect(NearestWords.nearest(to: "--hots", among: ["--host", "--retain"]) == ["--host"])
    }

    @Test("a word beyond any typing error costs nothing and finds nothing")
    func long() {
        #expect(NearestWords.nearest(to: String(repeating: "l", count: 1_000_000), among: commands).isEmpty)
    }

    @Test("the distance is a metric's half: symmetric, 0 only for equals", arguments: UInt64(1)...50)
    func distance(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        func word() -> [UInt8] {
            (0..<Int.random(in: 0...8, using: &generator)).map { _ in UInt8.random(in: 97...100, using: &generator) }
        }
        let (left, right) = (word(), word())
        let distance = NearestWords.distance(left, right)
        #expect(distance == NearestWords.distance(right, left))
        #expect((distance == 0) == (left == right))
        #expect(distance <= max(left.count, right.count))
        #expect(distance >= abs(left.count - right.count))
    }
}
