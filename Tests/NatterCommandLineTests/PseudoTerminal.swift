import Glibc
import Testing

/// Both ends of a pseudo-terminal, closed with the value. By ioctl_tty(2), since glibc shows `posix_openpt` to GNU
/// sources only.
final class PseudoTerminal {
    /// Where a person would sit.
    let person: Int32
    /// The end that the program takes for its terminal.
    let program: Int32
    let path: String

    init() throws {
        let getNumber: UInt = 0x8004_5430
        let setLock: UInt = 0x4004_5431
        person = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var number: Int32 = 0
        var lock: Int32 = 0
        try #require(ioctl(person, setLock, &lock) == 0)
        try #require(ioctl(person, getNumber, &number) == 0)
        path = "/dev/pts/\(number)"
        program = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(program >= 0)
    }

    deinit {
        close(person)
        close(program)
    }

    var echoes: Bool {
        var settings = termios()
        return tcgetattr(program, &settings) == 0 && settings.c_lflag & tcflag_t(ECHO) != 0
    }

    /// The next text of the screen, up to and with `end`.
    static func screen(of person: Int32, until end: String) -> String {
        var shown: [UInt8] = []
        var byte: UInt8 = 0
        while !shown.reversed().starts(with: end.utf8.reversed()), read(person, &byte, 1) == 1 { shown.append(byte) }
        return String(decoding: shown, as: UTF8.self)
    }
}

/// Both ends of a pipe, closed with the value.
final class PipePair {
    private(set) var reader: Int32
    private(set) var writer: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        (reader, writer) = (ends[0], ends[1])
        // No child of another test shall keep an end open.
        for end in ends { try #require(fcntl(end, F_SETFD, FD_CLOEXEC) == 0) }
    }

    func closeReader() {
        close(reader)
        reader = -1
    }

    func closeWriter() {
        close(writer)
        writer = -1
    }

    deinit {
        if reader >= 0 { close(reader) }
        if writer >= 0 { close(writer) }
    }
}
