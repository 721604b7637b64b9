# fish completion for pyconfd; `pyconfd completion fish` prints it.
function __pyconfd_words
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l found ($typed[1] completion words -- $typed[2..-1] "$current" 2>/dev/null)
    switch "$found[1]"
        case :files
            __fish_complete_path "$current"
        case :folders
            __fish_complete_directories "$current"
        case '*'
            printf '%s\n' $found
    end
end
complete -c pyconfd -f -a '(__pyconfd_words)'
