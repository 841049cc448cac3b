import Glibc
import NatterCommandLine
import Testing

@Suite("signals")
struct SignalsTests {
    @Test("SIGINT ends with 130")
    func interrupt() async {
        await #expect(processExitsWith: .exitCode(130)) {
            receiveInterrupts()
            Signals.prepareProcess()
            raise(SIGINT)
        }
    }

    @Test("SIGINT that was ignored stays ignored")
    func ignored() async {
        await #expect(processExitsWith: .exitCode(7)) {
            receiveInterrupts()
            _ = signal(SIGINT, SIG_IGN)
            Signals.prepareProcess()
            raise(SIGINT)
            exit(7)
        }
    }

    @Test("SIGINT can be left to a child")
    func leftToChild() async {
        await #expect(processExitsWith: .exitCode(7)) {
            receiveInterrupts()
            Signals.prepareProcess()
            Signals.leaveInterruptToChild()
            raise(SIGINT)
            exit(7)
        }
    }

    @Test("a closed pipe is an error of the write")
    func closedPipe() async {
        await #expect(processExitsWith: .exitCode(7)) {
            Signals.prepareProcess()
            var ends: [Int32] = [0, 0]
            _ = pipe(&ends)
            close(ends[0])
            if write(ends[1], "x", 1) == -1, errno == EPIPE { exit(7) }
        }
    }

    @Test("a file beyond the limit of its size is an error of the write")
    func fileSize() async {
        await #expect(processExitsWith: .exitCode(7)) {
            Signals.prepareProcess()
            raise(SIGXFSZ)
            exit(7)
        }
    }

    @Test("no file takes the place of a closed standard descriptor")
    func descriptors() async {
        await #expect(processExitsWith: .exitCode(7)) {
            for descriptor: Int32 in 0...2 { close(descriptor) }
            Signals.prepareProcess()
            let file = open("/dev/null", O_RDWR)
            let isError = write(1, "x", 1) == -1 && write(2, "x", 1) == -1
            var byte: UInt8 = 0
            if file > 2, isError, read(0, &byte, 1) == -1 { exit(7) }
        }
    }
}
