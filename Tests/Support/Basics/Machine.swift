internal import Foundation
internal import Glibc

/// The abilities of this machine, tried once. They are conditions of the tests that need them, so that a run says which tests
/// were left out and why. A test that has begun never passes because something does not start.
package enum Machine {
    /// Whether strace may watch another process. A container can forbid it.
    package static let traces = runs("/usr/bin/strace", ["-f", "-o", "/dev/null", "/bin/true"])
    /// Whether an ordinary user may mount a file system in a namespace of their own.
    package static let mounts = runs("/usr/bin/unshare", ["-Urm", "/bin/true"])
    package static let isRoot = geteuid() == 0

    private static func runs(_ program: String, _ words: [String]) -> Bool {
        (try? ChildProcess(program, words, environment: [:]).finish().code) == 0
    }
}
