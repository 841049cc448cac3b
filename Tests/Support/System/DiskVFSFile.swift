internal import CSQLite
internal import NatterSystem

/// A file that SQLite has open on a `Disk`. Like its connection, only one thread may use it at a time.
final class DiskVFSFile {
    /// The memory that SQLite allocates: its own part, then a reference to our object.
    private struct Record {
        // It must be first, because SQLite uses a pointer to the record as a pointer to this member.
        var base: sqlite3_file
        var object: Unmanaged<DiskVFSFile>
    }

    static let recordBytes = Int32(MemoryLayout<Record>.size)

    let file: any DiskFile
    let disk: any Disk
    /// The shared state, or nil for a journal.
    let database: SharedDatabase?
    /// Whether the next sync must also make the file's name durable. The file may be new, and a commit may depend on
    /// it.
    var syncsDirectory: Bool
    private let goesWithClose: Bool
    /// The number of the last call that failed, as "unix" keeps it.
    private var lastError: Int32 = 0

    init(file: any DiskFile, disk: any Disk, database: SharedDatabase?, syncsDirectory: Bool, goesWithClose: Bool) {
        (self.file, self.disk, self.database) = (file, disk, database)
        (self.syncsDirectory, self.goesWithClose) = (syncsDirectory, goesWithClose)
    }

    /// Initializes the memory of a file that SQLite has allocated.
    static func place(_ object: DiskVFSFile, in file: UnsafeMutablePointer<sqlite3_file>) {
        UnsafeMutableRawPointer(file).assumingMemoryBound(to: Record.self).initialize(
            to: Record(base: sqlite3_file(pMethods: DiskVFSFile.methods), object: Unmanaged.passRetained(object)))
    }

    static func of(_ file: UnsafeMutablePointer<sqlite3_file>?) -> DiskVFSFile? {
        guard let file else { return nil }
        return UnsafeMutableRawPointer(file).assumingMemoryBound(to: Record.self).pointee.object.takeUnretainedValue()
    }

    static func close(_ file: UnsafeMutablePointer<sqlite3_file>?) -> Int32 {
        guard let file, file.pointee.pMethods != nil else { return SQLITE_OK }
        let object = UnsafeMutableRawPointer(file).assumingMemoryBound(to: Record.self).pointee.object
        object.takeUnretainedValue().close()
        object.release()
        file.pointee.pMethods = nil
        return SQLITE_OK
    }

    private func close() {
        database?.release(ObjectIdentifier(self))
        if goesWithClose { try? disk.remove(file.path) }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int32 {
        let count = try file.read(into: buffer, at: offset)
        if count == buffer.count { return SQLITE_OK }
        // SQLite requires zeros in the rest of the buffer, and this result code.
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).initializeMemory(as: UInt8.self, repeating: 0)
        return IOErrorCode.shortRead
    }

    func sync() throws(DiskError) {
        try file.sync()
        guard syncsDirectory else { return }
        try disk.syncDirectory(Path.directory(of: file.path))
        syncsDirectory = false
    }

    /// Runs `body` on the file and translates its error to a result code of SQLite.
    private static func attempt(
        _ file: UnsafeMutablePointer<sqlite3_file>?, _ failure: Int32, _ body: (DiskVFSFile) throws(DiskError) -> Int32
    ) -> Int32 {
        guard let own = of(file) else { return failure }
        do throws(DiskError) { return try body(own) } catch {
            // "unix" has a code of its own for this number alone, and keeps the others for whoever asks.
            let isFull = error.code == .noSpace && failure == IOErrorCode.write
            own.lastError = isFull ? 0 : error.code.rawValue
            return isFull ? SQLITE_FULL : failure
        }
    }

    /// Allocated once and never freed.
    nonisolated(unsafe) private static let methods: UnsafePointer<sqlite3_io_methods> = {
        var methods = sqlite3_io_methods()
        methods.iVersion = 2
        methods.xClose = { DiskVFSFile.close($0) }
        methods.xRead = { file, buffer, count, offset in
            attempt(file, IOErrorCode.read) { own throws(DiskError) in
                try own.read(
                    into: UnsafeMutableRawBufferPointer(start: buffer, count: Int(count)),
                    at: UInt64(clamping: offset))
            }
        }
        methods.xWrite = { file, buffer, count, offset in
            attempt(file, IOErrorCode.write) { own throws(DiskError) in
                try own.file.write(
                    UnsafeRawBufferPointer(start: buffer, count: Int(count)), at: UInt64(clamping: offset))
                return SQLITE_OK
            }
        }
        methods.xTruncate = { file, size in
            attempt(file, IOErrorCode.truncate) { own throws(DiskError) in
                try own.file.truncate(to: UInt64(clamping: size))
                return SQLITE_OK
            }
        }
        methods.xSync = { file, _ in
            attempt(file, IOErrorCode.sync) { own throws(DiskError) in
                try own.sync()
                return SQLITE_OK
            }
        }
        methods.xFileSize = { file, size in
            attempt(file, IOErrorCode.size) { own throws(DiskError) in
                size?.pointee = Int64(clamping: try own.file.size())
                return SQLITE_OK
            }
        }
        methods.xLock = { file, level in
            guard let own = of(file) else { return SQLITE_IOERR }
            return own.database?.lock(ObjectIdentifier(own), to: level) == false ? SQLITE_BUSY : SQLITE_OK
        }
        methods.xUnlock = { file, level in
            guard let own = of(file) else { return SQLITE_IOERR }
            own.database?.unlock(ObjectIdentifier(own), to: level)
            return SQLITE_OK
        }
        methods.xCheckReservedLock = { file, result in
            result?.pointee = of(file)?.database?.isReserved == true ? 1 : 0
            return SQLITE_OK
        }
        methods.xFileControl = { file, operation, argument in
            let answer: Int32? =
                switch operation {
                case SQLITE_FCNTL_HAS_MOVED: of(file)?.hasMoved == true ? 1 : 0
                case SQLITE_FCNTL_LAST_ERRNO: of(file)?.lastError
                default: nil
                }
            guard let answer else { return SQLITE_NOTFOUND }
            argument?.assumingMemoryBound(to: Int32.self).pointee = answer
            return SQLITE_OK
        }
        methods.xSectorSize = { _ in 4_096 }
        methods.xDeviceCharacteristics = { _ in SQLITE_IOCAP_POWERSAFE_OVERWRITE }
        methods.xShmMap = { file, region, size, extends, address in
            guard let database = of(file)?.database else { return SQLITE_IOERR }
            address?.pointee = database.region(Int(region), bytes: Int(size), makes: extends != 0)
            return SQLITE_OK
        }
        methods.xShmLock = { file, slot, count, flags in
            guard let own = of(file), let database = own.database else { return SQLITE_IOERR }
            let slots = Int(slot)..<Int(slot) + Int(count)
            if flags & SQLITE_SHM_UNLOCK != 0 {
                database.unlock(slots, of: ObjectIdentifier(own))
                return SQLITE_OK
            }
            return database.lock(slots, of: ObjectIdentifier(own), isExclusive: flags & SQLITE_SHM_EXCLUSIVE != 0)
                ? SQLITE_OK : SQLITE_BUSY
        }
        methods.xShmBarrier = { of($0)?.database?.barrier() }
        methods.xShmUnmap = { file, _ in
            if let own = of(file) { own.database?.unlock(0..<SharedDatabase.slotCount, of: ObjectIdentifier(own)) }
            return SQLITE_OK
        }
        let place = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
        place.initialize(to: methods)
        return UnsafePointer(place)
    }()

    /// True if the file's name refers to another file, or to none.
    private var hasMoved: Bool {
        database?.isReplaced == true || (try? disk.information(file.path)) == .some(nil)
    }
}
