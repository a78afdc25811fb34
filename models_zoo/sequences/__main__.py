"""Train what is missing of the models of sequences, and go on where a run was interrupted. Ten minutes on a thread."""

from models_zoo.sequences.trained import missing, train

if __name__ == "__main__":
    for number in missing():
        print(train(number), flush=True)
