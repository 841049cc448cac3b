internal import Glibc
internal import NatterCLI
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterTLS
internal import NatterWire

/// Exit codes for the errors of the lower targets.
enum DaemonFailure {
    /// Maps any error, including those that all programs share.
    static func failure(_ error: any Error) -> CommandFailure {
        switch error {
        case let failure as CommandFailure: failure
        case let error as DiskError: CommandFailure(error)
        default: explain(error)
        }
    }

    static func explain(_ error: any Error) -> CommandFailure {
        switch error {
        case let error as StoreOpenError: of(error)
        case let error as StoreError: of(error)
        case let error as ImportError: of(error)
        case let error as BackupError: of(error)
        case let error as ListenerError: of(error)
        case let error as OperatorSocketError: of(error)
        // Only operations that read data wait for the other side, and they keep nothing of a part.
        case OperatorStreamError.ended:
            CommandFailure(
                .unavailable, code: "stopping",
                "the server is stopping and dropped what was being imported; repeat the command")
        case OperatorStreamError.malformed, is WireJSON.Failure: OperatorClient.otherVersion
        case let error as TLSError: of(error)
        case let error where StoreError(error) == .diskFull: CommandFailure(full: "\(error)")
        case let error where StoreError(error) == .busy: CommandFailure(.temporary, code: "busy", "\(error)")
        default: CommandFailure(.inputOutput, code: "io_error", "\(error)")
        }
    }

    private static func of(_ error: StoreOpenError) -> CommandFailure {
        switch error {
        case .locked: CommandFailure(.temporary, code: "locked", error.phrase)
        case .cannotCreate(let disk): cannotCreate(disk)
        case .newer: CommandFailure(.configuration, code: "newer_format", error.phrase)
        case .damaged: CommandFailure(.inputOutput, code: "damaged", error.phrase)
        case .malformed: CommandFailure(.usage, code: "usage", error.phrase)
        case .unreachable: CommandFailure(.unavailable, code: "no_database", error.phrase)
        case .unfit: CommandFailure(.configuration, code: "unfit_database", error.phrase)
        case .incomplete: CommandFailure(.inputOutput, code: "incomplete", error.phrase)
        }
    }

    private static func cannotCreate(_ disk: DiskError) -> CommandFailure {
        disk.isFull || disk.code == .tooManyOpenFiles
            ? CommandFailure(disk) : CommandFailure(.cannotCreate, code: "cannot_create", CommandFailure.remedied(disk))
    }

    private static func of(_ error: TLSError) -> CommandFailure {
        switch error {
        case .cannotMake: CommandFailure(.inputOutput, code: "io_error", error.phrase)
        case .cannotRead, .noFile: CommandFailure(.noInput, code: "cannot_read", error.phrase)
        default: CommandFailure(.configuration, code: "bad_certificate", error.phrase)
        }
    }

    private static func of(_ error: ListenerError) -> CommandFailure {
        switch error {
        case .notAnAddress: CommandFailure(.configuration, code: "bad_address", error.phrase)
        // Another program has the port and may release it.
        case .cannotListen(_, _, let code):
            CommandFailure(code == EACCES ? .refused : .temporary, code: "cannot_listen", error.phrase)
        case .cannotStart: CommandFailure(.temporary, code: "cannot_start", error.phrase)
        }
    }

    private static func of(_ error: OperatorSocketError) -> CommandFailure {
        switch error {
        case .inTheWay(let path):
            CommandFailure(
                .cannotCreate, code: "cannot_create",
                "'\(path)' is in the way of the server's socket; move it elsewhere")
        case .forbidden(let path):
            CommandFailure(
                .refused, code: "not_allowed",
                "only the user who runs the server may use '\(path)'; run this command as that user")
        case .stranger(let path, let uid):
            CommandFailure(
                .refused, code: "not_allowed",
                "'\(path)' is answered by the user \(uid), who does not own the directory; run this command as that user"
            )
        }
    }

    private static func of(_ error: StoreError) -> CommandFailure {
        let (exitCode, code): (ExitCode, String) =
            switch error {
            case .noSuchUser: (.notFound, "no_such_user")
            case .noSuchConversation: (.notFound, "no_such_conversation")
            case .noSuchMessage: (.notFound, "no_such_message")
            case .nameTaken: (.invalidData, "name_taken")
            case .badName: (.invalidData, "bad_name")
            case .forbidden: (.refused, "forbidden")
            case .diskFull, .notDropped, .notErased: (.temporary, "disk_full")
            case .busy, .stoppedErasing, .databaseAway, .databaseLocked: (.temporary, "busy")
            case .damaged, .damagedDatabase: (.inputOutput, "damaged")
            default: (.inputOutput, "io_error")
            }
        // Commands have no ids.
        let message: Phrase =
            error == .outcomeUnknown
            ? "it is not known whether this was done; look before you run the command again" : error.phrase
        return CommandFailure(exitCode, code: code, message)
    }

    private static func of(_ error: BackupError) -> CommandFailure {
        switch error {
        case .inUse: CommandFailure(.temporary, code: "locked", error.phrase)
        case .occupied, .otherStore, .notEmpty: CommandFailure(.cannotCreate, code: "occupied", error.phrase)
        case .nested: CommandFailure(.usage, code: "usage", error.phrase)
        case .cannotCreate(let disk) where disk.code == .readOnlyFileSystem:
            CommandFailure(
                .cannotCreate, code: "cannot_create",
                "\(disk.phrase); name a directory that can be written, for a server under systemd one in its ReadWritePaths="
            )
        case .cannotCreate(let disk): cannotCreate(disk)
        case .notABackup: CommandFailure(.invalidData, code: "not_a_backup", error.phrase)
        case .damaged: CommandFailure(.inputOutput, code: "damaged", error.phrase)
        }
    }

    private static func of(_ error: ImportError) -> CommandFailure {
        switch error {
        case .badName: CommandFailure(.invalidData, code: "bad_name", error.phrase)
        case .personal: CommandFailure(.invalidData, code: "personal_conversation", error.phrase)
        case .badMessage: CommandFailure(.invalidData, code: "bad_line", error.phrase)
        case .store(.diskFull):
            CommandFailure(.temporary, code: "disk_full", "the disk is full; nothing was imported")
        case .store(let error): of(error)
        }
    }
}
